# The image in which Dagster's docker executor runs the steps of agent_run: our own code and its locked dependencies.
# Agents never run in it (see worker-image/). Build it with scripts/images.sh pipeline, from the project's root.
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE} AS build
ARG BUILD_BACKEND="hatchling==1.33.0"
# For machines behind a TLS proxy with a CA of their own (it is in the bundle then); harmless elsewhere.
ENV DEBIAN_FRONTEND=noninteractive \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
RUN apt-get update -q \
    && apt-get install -y -q --no-install-recommends ca-certificates python3-venv \
    && rm -rf /var/lib/apt/lists/*
# Two environments: what builds the wheel must not end up in the image. Our own package lies apart from its dependencies,
# so that a change of our code is a layer of a few megabytes.
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install -q "${BUILD_BACKEND}" \
    && python3 -m venv --without-pip /opt/python \
    && echo /opt/squire/lib/python > "$(echo /opt/python/lib/python3*/site-packages)/squire.pth"
COPY requirements.lock /src/requirements.lock
# --no-deps: the lock is complete, and pip 23 refuses a locked package that another asks for with an extra.
RUN /opt/build/bin/pip --python /opt/python/bin/python install -q --require-hashes --no-deps --only-binary :all: \
        -r /src/requirements.lock \
    # AWS's library describes 400 services in 26 MB: what signs in, gives credentials and keeps files is asked here.
    && cd "$(echo /opt/python/lib/python3*/site-packages/botocore/data)" \
    && find . -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name sts ! -name sso ! -name sso-oidc ! -name signin -exec rm -r {} + \
    # The tests of these libraries take 20 MB, and nothing imports them.
    && cd ../.. && find numpy matplotlib google/genai -type d -name tests -prune -exec rm -r {} + \
    # lightkube finds a cluster and its credentials here: the objects of these API groups are never loaded.
    && for group in admissionregistration apps batch certificates discovery flowcontrol networking rbac resource scheduling storage; do \
        rm -f lightkube/models/"$group"_v* lightkube/models/__pycache__/"$group"_v* lightkube/resources/"$group"_v* lightkube/resources/__pycache__/"$group"_v*; \
    done
COPY pyproject.toml dagster.yaml /src/
COPY worker-image /src/worker-image
COPY squire_pipelines /src/squire_pipelines
# The readme is only for the package's page: a change of it should not rebuild this image.
RUN touch /src/README.md \
    && /opt/build/bin/pip wheel -q --no-deps --no-build-isolation --wheel-dir /wheels /src \
    && /opt/build/bin/pip --python /opt/python/bin/python install -q --no-deps --prefix /opt/squire /wheels/*.whl \
    && ln -s "$(cd /opt/squire/lib && echo python3*)/site-packages" /opt/squire/lib/python

FROM ${BASE_IMAGE}
RUN export DEBIAN_FRONTEND=noninteractive \
    && apt-get update -q \
    && apt-get install -y -q --no-install-recommends ca-certificates git python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*.log /var/log/apt \
    && useradd --uid 10001 --user-group --home-dir /home/squire --shell /bin/bash squire \
    # The host may run it as any uid.
    && install -d -m 1777 /home/squire /var/lib/squire
COPY --from=build /opt/python /opt/python
COPY --from=build /opt/squire /opt/squire
# USER: a uid without an entry in /etc/passwd has no name otherwise, and getpass fails.
ENV PATH=/opt/squire/bin:/opt/python/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8 \
    HOME=/home/squire \
    USER=squire \
    DAGSTER_HOME=/var/lib/squire \
    DAGSTER_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
LABEL org.opencontainers.image.title="squire-pipeline" \
      org.opencontainers.image.description="Squire's code and its locked dependencies, for Dagster's step containers" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 10001:10001
WORKDIR /var/lib/squire
STOPSIGNAL SIGTERM
CMD ["dagster", "--version"]
