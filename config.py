"""Settings, read once from the environment and `.env` (which the environment overrides)."""

import re
import secrets
import tempfile
from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import psycopg2
from psycopg2.extensions import make_dsn
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import URL, make_url

ROOT = Path(__file__).resolve().parent


class Settings(BaseSettings):
    """Every setting of the service; `.env.example` explains them one by one."""

    model_config = SettingsConfigDict(
        env_file=ROOT / ".env",
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
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ("http://localhost:3000",)
    host: str = ""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    root_path: str = ""
    forwarded_allow_ips: Annotated[tuple[str, ...], NoDecode] = ()
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    access_log: bool | None = None
    db_pool_size: Annotated[int, Field(ge=1, le=1000)] = 10
    db_max_overflow: Annotated[int, Field(ge=0, le=1000)] = 0
    max_waiting: Annotated[int, Field(ge=0, le=100_000)] = 2000
    web_concurrency: Annotated[int, Field(ge=1, le=256)] = 1
    shutdown_timeout: Annotated[int, Field(ge=1, le=300)] = 6
    data_dir: Path = ROOT / ".data"

    @field_validator("environment", "log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("allowed_origins", "forwarded_allow_ips", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("allowed_origins")
    @classmethod
    def _exact_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not re.fullmatch(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?", origin):
                raise ValueError(
                    "must hold exact origins such as https://app.example.com, without a path, "
                    "a trailing slash or *"
                )
        return origins

    @field_validator("root_path")
    @classmethod
    def _path(cls, path: str) -> str:
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", path):
            raise ValueError("must be a path such as /service, without a slash at its end")
        return path

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        try:
            for address in {*addresses} - {"*"}:
                ip_network(address)
        except ValueError:
            raise ValueError("must hold IP addresses, networks such as 10.0.0.0/8, or *") from None
        return addresses

    @field_validator("database_url", "migration_database_url")
    @classmethod
    def _postgres_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            postgres_url(value.get_secret_value())
        return value

    @field_validator("better_auth_secret")
    @classmethod
    def _long_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("must have 32 characters or more")
        return value

    @model_validator(mode="after")
    def _complete_for_production(self) -> Self:
        if self.environment == "production":
            for name in ("database_url", "better_auth_secret"):
                if getattr(self, name) is None:
                    raise ValueError(f"{name.upper()} is required when ENVIRONMENT is production")
        return self

    @property
    def listen_host(self) -> str:
        """HOST, or the loopback in development and every interface in production."""
        return self.host or ("0.0.0.0" if self.environment == "production" else "127.0.0.1")  # noqa: S104

    @property
    def log_requests(self) -> bool:
        """ACCESS_LOG, or whether this is development: platforms have a request log of their own."""
        return self.environment == "development" if self.access_log is None else self.access_log

    @property
    def secret(self) -> str:
        """The key of HS256 tokens; in development one that is made once and kept in `data_dir`."""
        if self.better_auth_secret is not None:
            return self.better_auth_secret.get_secret_value()
        return _kept_secret(self.data_dir / "better-auth-secret")


def postgres_url(value: str) -> URL:
    """`value` as a URL for SQLAlchemy, its driver left to the caller.

    Raises ValueError, whose text never holds any of `value`.
    """
    scheme = urlsplit(value).scheme
    if scheme not in ("postgres", "postgresql"):
        raise ValueError("must start with postgresql:// or postgres://")
    try:
        url = make_url(value).set(drivername="postgresql")
        parameters = url.translate_connect_args(username="user", database="dbname")
        options = {name: ",".join(values) for name, values in url.normalized_query.items()}
        make_dsn(**parameters, **options)
    except psycopg2.ProgrammingError:
        raise ValueError("has a parameter that Postgres's client does not know") from None
    except Exception:  # whatever the parser finds wrong, its message would quote the password
        raise ValueError("must look like postgresql://user:password@host/database") from None
    return url


def _kept_secret(path: Path) -> str:
    """The secret in `path`, made if it is not there. Two that start at once agree on one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent) as file:  # only its owner may read it
        file.write(secrets.token_urlsafe(48))
        file.flush()
        with suppress(FileExistsError):
            path.hardlink_to(file.name)
    return path.read_text()


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    names = ".".join(str(part) for part in first["loc"][:1]).upper()
    return (
        f"Configuration error: {names} {message}." if names else f"Configuration error: {message}."
    )


@lru_cache
def get_settings() -> Settings:
    """The settings of this process. A wrong one ends it with a sentence that names the setting."""
    try:
        return Settings()
    except ValidationError as error:
        raise SystemExit(_sentence(error)) from None
    except UnicodeDecodeError:
        raise SystemExit("Configuration error: .env is not UTF-8 text.") from None
