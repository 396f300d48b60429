"""The secret that signs HS256 tokens."""

from config import Settings
from development.data_dir import kept_secret


def signing_secret(settings: Settings) -> str | None:
    """Return BETTER_AUTH_SECRET; in development without one, a secret that is made once and kept.

    In production, None means that HS256 tokens are not accepted, because BETTER_AUTH_URL is enough.
    """
    if settings.better_auth_secret is not None:
        return settings.better_auth_secret.get_secret_value()
    if settings.environment == "production":
        return None
    return kept_secret(settings.data_dir / "better-auth-secret")
