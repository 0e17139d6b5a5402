# One image for the web service, the worker and everything else: the command says which.
#
# A release names its base by digest and takes its date from the commit, so that anybody can build the same bytes again:
# docs/kubernetes.md says how.
ARG PYTHON=python:3.12-slim-bookworm
FROM ${PYTHON} AS build

# Files and compiled modules carry this date, and compiled modules are checked by their source's hash, not its time.
ARG SOURCE_DATE_EPOCH=315532800
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONHASHSEED=0
WORKDIR /src
COPY requirements/build.txt requirements/runtime.txt requirements/
# The environment gets no pip: nothing is installed where it runs.
RUN pip install --no-deps --require-hashes -r requirements/build.txt \
    && python -m venv --without-pip /opt/promotion-bot \
    && pip --python /opt/promotion-bot/bin/python install --no-deps --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY policies policies
COPY workers workers
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip --python /opt/promotion-bot/bin/python install --no-deps /wheels/*.whl

FROM ${PYTHON}

LABEL org.opencontainers.image.title="promotion-bot" \
      org.opencontainers.image.description="GitOps promotion bot for machine-learning models" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 promotion-bot \
    && useradd --system --uid 10001 --gid 10001 --create-home --home-dir /var/lib/promotion-bot promotion-bot
COPY --from=build /opt/promotion-bot /opt/promotion-bot
# The file system may be read-only: what is written goes to /tmp, and with `up` to the data directory.
ENV PATH=/opt/promotion-bot/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PROMOTION_DATA_DIR=/var/lib/promotion-bot
USER 10001:10001
WORKDIR /var/lib/promotion-bot
EXPOSE 8080
# The worker answers no HTTP: its check is `python -m workers.alive`, which whoever runs it has to name.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["promotion-bot"]
CMD ["up", "--host", "0.0.0.0"]
