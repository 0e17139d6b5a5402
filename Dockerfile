# One image for the web service, the worker and everything else: the command says which.
FROM python:3.12-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements/runtime.txt requirements/
RUN python -m venv /opt/promotion-bot \
    && /opt/promotion-bot/bin/pip install --no-deps --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY policies policies
COPY workers workers
RUN /opt/promotion-bot/bin/pip install --no-deps .

FROM python:3.12-slim-bookworm

RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/promotion-bot promotion-bot
COPY --from=build /opt/promotion-bot /opt/promotion-bot
ENV PATH=/opt/promotion-bot/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PROMOTION_DATA_DIR=/var/lib/promotion-bot
USER 10001
WORKDIR /var/lib/promotion-bot
EXPOSE 8080
# The worker answers no HTTP: its check is `python -m workers.alive`, which whoever runs it has to name.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["promotion-bot"]
CMD ["up", "--host", "0.0.0.0"]
