# The images of the concentrator and of the operator:
#
#   docker build --target concentrator --tag ferrule .
#   docker build --target operator --tag ferrule-operator .
#
# or both without Docker: tools/images/build.sh. Python and nft come from Debian, all else from the
# lock files, as wheels: nothing is compiled, and what builds stays in the first stages.
ARG BASE=debian:bookworm-slim

# --- what both images begin with: Debian and its Python
FROM ${BASE} AS python
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends python3-minimal libpython3-stdlib >/dev/null \
    && find /usr -name __pycache__ -prune -exec rm -rf {} + \
    && python3 -B -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3.11 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/cache/ldconfig/* \
        /var/log/apt /var/log/dpkg.log /var/log/alternatives.log \
    && echo "ferrule:x:65532:" >>/etc/group \
    && echo "ferrule:x:65532:65532:Ferrule:/nonexistent:/usr/sbin/nologin" >>/etc/passwd

# --- pip, and an environment without it
FROM python AS tools
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ONLY_BINARY=:all: PIP_ROOT_USER_ACTION=ignore
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null \
    && python3 -m venv /tools \
    && python3 -m venv --without-pip /opt/ferrule
WORKDIR /src
# The secret `ca`, a file of certificates, where a proxy stands between us and the package index:
# --secret id=ca,src=FILE --build-arg PIP_CERT=/run/secrets/ca

# --- the wheel of this project
FROM tools AS wheel
ARG PIP_CERT
COPY requirements/build.lock requirements/
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=ca \
    /tools/bin/pip install -q --require-hashes -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY concentrator concentrator/
COPY operator operator/
RUN /tools/bin/hatchling build -t wheel -d /wheel >/dev/null

# --- the programs, each with what it needs and no more
FROM tools AS concentrator-files
ARG PIP_CERT
COPY requirements/run.lock requirements/
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=ca \
    /tools/bin/pip --python /opt/ferrule/bin/python install -q --no-compile --require-hashes \
        -r requirements/run.lock \
    && python3 -B -m compileall -q --invalidation-mode unchecked-hash /opt/ferrule/lib
COPY --from=wheel /wheel /wheel
RUN /tools/bin/pip --python /opt/ferrule/bin/python install -q --no-compile \
        --no-deps --no-index /wheel/*.whl \
    && rm -f /opt/ferrule/bin/ferrule-operator \
    && python3 -B -m compileall -q --invalidation-mode unchecked-hash /opt/ferrule/lib

FROM tools AS operator-files
ARG PIP_CERT
COPY requirements/operator.lock requirements/
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=ca \
    /tools/bin/pip --python /opt/ferrule/bin/python install -q --no-compile --require-hashes \
        -r requirements/operator.lock \
    && python3 -B -m compileall -q --invalidation-mode unchecked-hash /opt/ferrule/lib
COPY --from=wheel /wheel /wheel
RUN /tools/bin/pip --python /opt/ferrule/bin/python install -q --no-compile \
        --no-deps --no-index /wheel/*.whl \
    && python3 -B -m compileall -q --invalidation-mode unchecked-hash /opt/ferrule/lib

# --- the images
FROM python AS operator
LABEL org.opencontainers.image.title="ferrule-operator" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=operator-files /opt/ferrule /opt/ferrule
ENV PATH=/opt/ferrule/bin:/usr/sbin:/usr/bin:/sbin:/bin PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["ferrule-operator"]

# As it is, it serves with the privilege it is given. In the operator's pods it runs twice: as
# `ferrule init-tun`, uid 0 with NET_ADMIN and MKNOD, and as `ferrule serve`, with nothing at all.
FROM python AS concentrator
LABEL org.opencontainers.image.title="ferrule" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends nftables >/dev/null \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/cache/ldconfig/* \
        /var/log/apt /var/log/dpkg.log /var/log/alternatives.log \
    && mkdir -p /run/ferrule && chown 65532:65532 /run/ferrule
COPY --from=concentrator-files /opt/ferrule /opt/ferrule
ENV PATH=/opt/ferrule/bin:/usr/sbin:/usr/bin:/sbin:/bin PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["ferrule"]
CMD ["serve", "--config", "/etc/ferrule/gateway.yaml"]
