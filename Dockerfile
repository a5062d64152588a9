# Fieldwarden, slim: Python, the locked packages and nothing to build with. `docker build .` makes the image `fieldwarden`
# (the last stage); `--target quote-to-cash` adds the example project that docker-compose.yml runs.
ARG PYTHON=python:3.11.14-slim-bookworm

# Everything is fetched once, against the lock's hashes, as wheels; what is installed afterwards can only come from these.
FROM ${PYTHON} AS wheels
WORKDIR /build
COPY requirements.lock ./
RUN pip download --quiet --disable-pip-version-check --no-cache-dir --require-hashes --only-binary :all: \
    --dest /wheels --requirement requirements.lock
COPY pyproject.toml README.md LICENSE cli.py ./
COPY fieldwarden fieldwarden
COPY commands commands
COPY rules rules
COPY engine engine
COPY connectors connectors
COPY operations operations
COPY sandbox sandbox
COPY examples examples
# The lock holds the tools for tests, too; the second environment takes only what Fieldwarden itself asks for.
RUN pip install --quiet --disable-pip-version-check --no-index --find-links /wheels hatchling \
 && pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir /wheels . \
 && python -m venv --without-pip /opt/fieldwarden \
 && pip --python /opt/fieldwarden/bin/python install --quiet --no-index --find-links /wheels --no-compile fieldwarden

FROM ${PYTHON} AS base
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin fieldwarden \
 && install --directory --owner fieldwarden --group fieldwarden /project
COPY --from=wheels /opt/fieldwarden /opt/fieldwarden
ENV PATH=/opt/fieldwarden/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER fieldwarden
# The project's folder is mounted here. In a container `run: {host: 0.0.0.0}` lets others reach the health checks.
WORKDIR /project
EXPOSE 9187
# Alive, not ready: whoever restarts what is unhealthy must not restart a process that waits for a database.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9187/livez', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["fieldwarden"]
CMD ["run", "--log-format", "json"]

FROM base AS quote-to-cash
RUN ["fieldwarden", "init", ".", "--example", "quote-to-cash-compose"]

FROM base AS fieldwarden
