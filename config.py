"""Settings, read once from the environment and `.env` (which the environment overrides)."""

import os
import re
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, DotEnvSettingsSource, NoDecode, SettingsConfigDict

from addresses import is_host, is_loopback
from origins import is_origin, is_pattern, is_private, origin_of, pattern_of_origins
from postgres.url import postgres_url
from secret_rules import check_secret, check_secret_is_private

ROOT = Path(__file__).resolve().parent
# A blank value of these settings is an error. If it counted as absent, `iss` or `aud` would not be
# checked, or the service would use another secret.
NEVER_BLANK = ("jwt_issuer", "jwt_audience", "better_auth_secret")

QUOTED = re.compile(r"""(["'`]).*\1|“.*”""", re.DOTALL)
# The soft hyphen, zero-width characters, direction marks, and the byte order mark.
INVISIBLE = {*"\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\u202a\u202b\u202c\u202d\u202e\ufeff"}


class Settings(BaseSettings):
    """Every setting of the service; `.env.example` explains them one by one."""

    model_config = SettingsConfigDict(
        env_file=ROOT / ".env",
        env_file_encoding="utf-8-sig",  # with or without a byte order mark
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        # A wrong DATABASE_URL or secret must not appear in the error about it.
        hide_input_in_errors=True,
    )

    environment: Literal["development", "production"] = "development"
    database_url: SecretStr | None = None
    migration_database_url: SecretStr | None = None
    better_auth_secret: SecretStr | None = None
    better_auth_url: str | None = None
    jwks_url: str | None = None
    jwt_issuer: Annotated[tuple[str, ...], NoDecode] = ()
    jwt_audience: Annotated[tuple[str, ...], NoDecode] = ()
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ("http://localhost:3000",)
    host: str = ""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    root_path: str = ""
    forwarded_allow_ips: Annotated[tuple[str, ...], NoDecode] = ()
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    access_log: bool | None = None
    slow_request_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 500
    db_pool_size: Annotated[int, Field(ge=1, le=1000)] = 10
    db_max_overflow: Annotated[int, Field(ge=0, le=1000)] = 20
    db_prepared_statements: bool = True
    max_waiting: Annotated[int, Field(ge=0, le=100_000)] = 2000
    reuse_port: bool = False
    web_concurrency: Annotated[int, Field(ge=1, le=256)] = 1
    shutdown_timeout: Annotated[int, Field(ge=1, le=300)] = 6
    docs_enabled: bool = True
    contact_url: str | None = None
    data_dir: Path = ROOT / ".data"
    dev_db_port: Annotated[int, Field(ge=1, le=65535)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _strip(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Strip white space from values, and drop values that are then empty."""
        stripped = {
            name: value.strip() if isinstance(value, str) else value
            for name, value in values.items()
        }
        return {
            name: value for name, value in stripped.items() if value != "" or name in NEVER_BLANK
        }

    @field_validator("environment", "log_level", mode="before")
    @classmethod
    def _lowercase(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator(
        "jwt_issuer", "jwt_audience", "allowed_origins", "forwarded_allow_ips", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("jwt_issuer", "jwt_audience", mode="before")
    @classmethod
    def _hold_a_value(cls, value: object) -> object:
        if isinstance(value, str) and not value.replace(",", "").strip():
            raise ValueError("must hold one value or more, comma separated")
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if not all(is_origin(origin) or is_pattern(origin) for origin in origins):
            raise ValueError(
                "must hold origins such as https://app.example.com, as browsers send them: in "
                "lower case, without a path, a trailing slash or the scheme's own port; one * may "
                "stand for a part of the first label, as in https://app-*-team.example.com"
            )
        return origins

    @field_validator("root_path")
    @classmethod
    def _check_path(cls, path: str) -> str:
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", path):
            raise ValueError("must be a path such as /service, without a slash at its end")
        return path

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _check_addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        try:
            for address in {*addresses} - {"*"}:
                ip_network(address)
        except ValueError:
            raise ValueError("must hold IP addresses, networks such as 10.0.0.0/8, or *") from None
        return addresses

    @field_validator("database_url", "migration_database_url")
    @classmethod
    def _check_postgres_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            postgres_url(value.get_secret_value())
        return value

    @field_validator("better_auth_secret")
    @classmethod
    def _check_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        check_secret(value.get_secret_value())
        return value

    @field_validator("host")
    @classmethod
    def _check_host(cls, host: str) -> str:
        if not is_host(host):
            raise ValueError(
                "must be an address such as 0.0.0.0 or ::, or a name, without brackets and port"
            )
        return host

    @field_validator("data_dir")
    @classmethod
    def _resolve_data_dir(cls, value: Path) -> Path:
        try:
            return ROOT / value.expanduser()
        except RuntimeError:
            raise ValueError("begins with ~, but there is no such home directory") from None

    @field_validator("better_auth_url", "jwks_url", "contact_url")
    @classmethod
    def _check_web_url(cls, value: str | None) -> str | None:
        if value is not None:
            origin_of(value)
        return value

    @field_validator("*", mode="before")  # runs first, as the last "before" validator
    @classmethod
    def _refuse_quotes(cls, value: object, info: ValidationInfo) -> object:
        """Refuse quotes, which a shell and `.env` remove but `docker run --env-file` does not."""
        is_quoted = isinstance(value, str) and QUOTED.fullmatch(value)
        if is_quoted and info.field_name != "better_auth_secret":  # secret_rules.py
            raise ValueError("is in quotes, which would be a part of it: remove them")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_invisible_characters(cls, value: object, info: ValidationInfo) -> object:
        """Refuse characters that are not visible in an editor, which copied text may contain.

        The name of a folder may contain them: some languages and emoji need them.
        """
        if isinstance(value, str) and info.field_name != "data_dir" and INVISIBLE & {*value}:
            raise ValueError(
                "has an invisible character, such as a zero-width space or a byte order mark: "
                "delete the value and type it"
            )
        return value

    @model_validator(mode="after")
    def _require_production_settings(self) -> Self:
        if self.environment != "production":
            return self
        if self.database_url is None:
            raise ValueError("DATABASE_URL is required when ENVIRONMENT is production")
        if self.better_auth_secret is None and self.better_auth_url is None:
            names = "BETTER_AUTH_SECRET or BETTER_AUTH_URL"
            raise ValueError(f"{names} is required when ENVIRONMENT is production")
        return self

    @model_validator(mode="after")
    def _secret_that_nobody_knows(self) -> Self:
        if self.environment == "production" and self.better_auth_secret is not None:
            try:
                check_secret_is_private(self.better_auth_secret.get_secret_value())
            except ValueError as error:
                raise ValueError(f"BETTER_AUTH_SECRET {error}") from None
        return self

    @model_validator(mode="after")
    def _require_issuer_of_keys(self) -> Self:
        if self.jwks_url is not None and self.better_auth_url is None:
            raise ValueError("JWKS_URL needs BETTER_AUTH_URL too, which is the issuer of the keys")
        for name in ("better_auth_url", "jwks_url"):
            value = getattr(self, name)
            if self.environment == "production" and value and not is_private(value):
                raise ValueError(
                    f"{name.upper()} must start with https:// when ENVIRONMENT is production, "
                    "because keys that are sent over plain http can be replaced on the way"
                )
        return self

    @property
    def listen_host(self) -> str:
        """HOST, or by default the loopback in development and every interface in production."""
        return self.host or ("0.0.0.0" if self.environment == "production" else "127.0.0.1")  # noqa: S104

    @property
    def is_public(self) -> bool:
        """Whether other machines may reach the address that the service listens on."""
        return not is_loopback(self.listen_host)

    @property
    def log_requests(self) -> bool:
        """ACCESS_LOG, or by default only in development: platforms have their own request logs."""
        return self.environment == "development" if self.access_log is None else self.access_log

    @property
    def origin_pattern(self) -> str | None:
        """A regular expression for allowed origins that ALLOWED_ORIGINS does not list literally."""
        is_development = self.environment == "development"
        return pattern_of_origins(self.allowed_origins, any_local_port=is_development)

    @property
    def issuer(self) -> str | None:
        """The `iss` and `aud` of Better Auth's tokens: the origin of `better_auth_url`."""
        return origin_of(self.better_auth_url) if self.better_auth_url else None

    @property
    def key_set_url(self) -> str | None:
        """The URL of the issuer's keys: JWKS_URL, or the URL at which Better Auth publishes them.

        If BETTER_AUTH_URL has a path, that path replaces the default, /api/auth
        (https://www.better-auth.com/docs/reference/options#basepath).
        """
        if self.jwks_url or not self.better_auth_url:
            return self.jwks_url
        base = self.better_auth_url.rstrip("/")
        return f"{base}/jwks" if urlsplit(base).path else f"{base}/api/auth/jwks"


def _sentence(error: ValidationError) -> str:
    """Describe the first error in our own words, because pydantic's are for programmers."""
    first = error.errors(include_url=False, include_input=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "value_error":
        message = first["msg"].removeprefix("Value error, ")
    else:
        message = _expectation(Settings.model_json_schema()["properties"][name])
    return f"Configuration error: {name.upper()} {message}.".replace("  ", " ")


def _expectation(schema: dict[str, Any]) -> str:
    """Describe the values that `schema`, a JSON schema, accepts."""
    for kind in (schema, *schema.get("anyOf", ())):
        if "enum" in kind:
            return f"must be {' or '.join(kind['enum'])}"
        if kind.get("type") == "integer":
            return f"must be a whole number from {kind['minimum']} to {kind['maximum']}"
        if kind.get("type") == "boolean":
            return "must be true or false"
    return "must be text in UTF-8"


def _pass_on_opentelemetry_settings() -> None:
    """Copy OTEL_* from `.env` to the environment, because OpenTelemetry does not read `.env`."""
    for name, value in DotEnvSettingsSource(Settings, case_sensitive=True).env_vars.items():
        if name.startswith("OTEL_") and value:
            os.environ.setdefault(name, value)


@lru_cache
def get_settings() -> Settings:
    """Return the settings of this process.

    An invalid setting ends the process with a sentence that names the setting.
    """
    try:
        _pass_on_opentelemetry_settings()
        return Settings()
    except ValidationError as error:
        raise SystemExit(_sentence(error)) from None
    except UnicodeDecodeError:
        raise SystemExit("Configuration error: .env is not UTF-8 text.") from None
    except OSError as error:
        raise SystemExit(f"Configuration error: .env can't be read: {error.strerror}.") from None
