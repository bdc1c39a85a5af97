# Two images: `operator` (Python and this package) and `site` (the same, with the servers of a site).
#
#   base ---> dependencies ---> operator
#                  |               ^
#                  |            package
#                  |               v
#                  +-> site-base -> site
#
# The package comes last, so a changed source file makes only the last small layer of both images anew.

ARG BASE=docker.io/library/debian:forky-slim


FROM ${BASE} AS base

COPY hack/images/dpkg.conf /etc/dpkg/dpkg.cfg.d/multiserver
# The user must exist before Debian's postgresql package would give it another number.
RUN groupadd --gid 10001 postgres \
    && useradd --uid 10001 --gid postgres --home-dir /var/lib/postgresql --no-create-home --shell /usr/sbin/nologin postgres
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf /var/log/*
ENV LANG=C.UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1


FROM base AS build-tools

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3-pip python3-setuptools
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build


# A stage of its own, so that only a changed dependency, not any changed line of pyproject.toml, installs them again.
FROM build-tools AS requirements

COPY pyproject.toml .
RUN python3 -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
    > requirements.txt


FROM base AS dependencies

COPY --from=requirements /build/requirements.txt /opt/multiserver/
# pip is lent by the build tools and does not stay. Behind a proxy that opens TLS, the secret `ca` holds the certificates
# to trust. Only the modules that are used are compiled: that is half a second of every start, and small.
RUN --mount=type=bind,from=build-tools,source=/usr/lib/python3/dist-packages,target=/run/build-tools \
    --mount=type=secret,id=ca,target=/run/secrets/ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi \
    && python3 -m venv --without-pip /opt/multiserver \
    && PYTHONPATH=/run/build-tools python3 -m pip --python /opt/multiserver/bin/python install --no-cache-dir --no-compile \
        --requirement /opt/multiserver/requirements.txt \
    && PYTHONDONTWRITEBYTECODE= /opt/multiserver/bin/python -c "import cryptography.x509, httpx, jinja2, kopf, \
        kubernetes.aio.client, kubernetes.aio.config, kubernetes.aio.dynamic, prometheus_client, psycopg_pool, \
        pydantic, starlette.applications, uvicorn"
ENV PATH=/opt/multiserver/bin:${PATH}


FROM dependencies AS site-base

ARG PG_MAJOR=18
# The suite of the base image, and the PostgreSQL project's repository where Debian's own PostgreSQL is too old, such as
# SUITE=trixie POSTGRESQL_REPOSITORY=http://apt.postgresql.org/pub/repos/apt (its lists are signed).
ARG SUITE=forky
ARG POSTGRESQL_REPOSITORY=
COPY hack/images/createcluster.conf /etc/postgresql-common/createcluster.conf
# systemd-standalone-sysusers stands in for all of systemd, which the packages ask for to make users. The removed key pair
# is one that a package makes for tests: a private key has no place in an image.
RUN apt-get update \
    && if [ -n "${POSTGRESQL_REPOSITORY}" ]; then \
        DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
            postgresql-common systemd-standalone-sysusers \
        && echo "deb [signed-by=/usr/share/postgresql-common/pgdg/apt.postgresql.org.asc] ${POSTGRESQL_REPOSITORY} ${SUITE}-pgdg main" \
            > /etc/apt/sources.list.d/postgresql.list \
        && apt-get update; \
    fi \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        "postgresql-${PG_MAJOR}" pgbackrest restic syncthing systemd-standalone-sysusers \
    && rm /etc/ssl/certs/ssl-cert-snakeoil.pem /etc/ssl/private/ssl-cert-snakeoil.key \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf /var/log/*
ENV PATH=/usr/lib/postgresql/${PG_MAJOR}/bin:${PATH}


FROM build-tools AS package

COPY pyproject.toml .
COPY operator operator
RUN python3 -m venv --without-pip /opt/multiserver \
    && pip wheel --no-deps --no-build-isolation --wheel-dir . . \
    && pip --python /opt/multiserver/bin/python install --no-deps --prefix /package *.whl


FROM dependencies AS operator

COPY --from=package /package /opt/multiserver
USER 10001:10001
ENTRYPOINT ["multiserver"]


FROM site-base AS site

COPY --from=package /package /opt/multiserver
USER 10001:10001
ENTRYPOINT ["multiserver"]
