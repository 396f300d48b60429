# syntax=docker/dockerfile:1
# See https://docs.astral.sh/uv/guides/integration/docker/.
FROM python:3.11-slim AS build
COPY --from=ghcr.io/astral-sh/uv:0.13.9 /uv /bin/
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /app
COPY pyproject.toml uv.lock .python-version ./
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --no-dev
COPY . .
RUN python -m compileall -q -x '/\.venv/' .

FROM python:3.11-slim
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
