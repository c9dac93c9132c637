# The stand-in for GitHub of `make compose-demo`, which real installations do not have. The context is the folder forge/.
ARG PIPELINE_IMAGE=squire-pipeline:latest
FROM ${PIPELINE_IMAGE}
COPY squire_forge /opt/squire/lib/python/squire_forge
CMD ["python3", "-m", "squire_forge", "--help"]
