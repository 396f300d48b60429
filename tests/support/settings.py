"""Settings as the service reads them, from the test's own environment."""

import secrets

import pytest

from config import Settings, get_settings

SECRET = "for-tests-" + secrets.token_urlsafe(32)
URL = "postgresql://owner:pass-word@db.example/tasks"
PRODUCTION = {"ENVIRONMENT": "production", "DATABASE_URL": URL, "BETTER_AUTH_SECRET": SECRET}


def read(environment: pytest.MonkeyPatch, **values: str) -> Settings:
    """Return the settings as the service reads them, or raise SystemExit."""
    for name, value in values.items():
        environment.setenv(name, value)
    return get_settings.__wrapped__()
