# The servers that Squire needs beside itself, from Debian's packages, for machines that reach no registry of images.
# Where you have the projects' own images, name them in POSTGRES_IMAGE, REDIS_IMAGE and PROMETHEUS_IMAGE.
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE} AS postgres
RUN apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends postgresql-15 \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o postgres -g postgres -m 0700 /var/lib/postgresql/squire
COPY postgres-start /usr/local/bin/postgres-start
USER postgres
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/squire/data
VOLUME /var/lib/postgresql/squire
STOPSIGNAL SIGINT
CMD ["postgres-start"]

FROM ${BASE_IMAGE} AS redis
RUN apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/*
COPY redis-start /usr/local/bin/redis-start
USER redis
WORKDIR /var/lib/redis
VOLUME /var/lib/redis
CMD ["redis-start"]

FROM ${BASE_IMAGE} AS prometheus
RUN apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends prometheus \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o prometheus -g prometheus /var/lib/prometheus/squire
USER prometheus
VOLUME /var/lib/prometheus/squire
CMD ["prometheus", "--config.file=/etc/prometheus/squire.yml", "--storage.tsdb.path=/var/lib/prometheus/squire", "--storage.tsdb.retention.time=15d", "--storage.tsdb.retention.size=2GB"]
