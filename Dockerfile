# syntax=docker/dockerfile:1
# See https://docs.astral.sh/uv/guides/integration/docker/.
FROM python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7 AS build
COPY --from=ghcr.io/astral-sh/uv:0.13.0@sha256:cdc6093146eb3ff6a40107b38f008b789e050e77ad87865e381d9917da55a168 /uv /bin/
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /app
COPY pyproject.toml uv.lock .python-version ./
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --no-dev
COPY . .
RUN python -m compileall -q -x '/\.venv/' .

FROM python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7
RUN useradd --system --no-create-home app
WORKDIR /app
COPY --from=build /app /app
ENV ENVIRONMENT=production PORT=8000 PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
USER app
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=3s --start-period=10s CMD ["python", "-c", \
    "import http.client, os, sys; \
    service = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=2); \
    service.request('GET', '/health/live'); \
    sys.exit(service.getresponse().status != 200)"]
# exec replaces the shell, so that signals reach the service. The service itself reads $PORT.
CMD ["sh", "-c", "exec python main.py"]
