"""Settings of the MCP server, from the environment and from the `.env` of the service."""

import re
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from mcp_server.token import InvalidToken, caller_of

ROOT = Path(__file__).resolve().parent.parent
# A URL that no client changes before it sends the request, apart from the default ports.
PLAIN_URL = re.compile(
    r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[1-9][0-9]*)?(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+"
)
DEFAULT_PORTS = ("http:80", "https:443")
API_PATH = "/api/auth"  # https://www.better-auth.com/docs/reference/options#basepath


class ApiSettings(BaseSettings):
    """Where the REST API is."""

    model_config = SettingsConfigDict(
        env_file=ROOT / ".env",
        env_file_encoding="utf-8-sig",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # a token must not appear in the error about it
    )

    tasks_api_url: str = "http://127.0.0.1:8000"

    @model_validator(mode="before")
    @classmethod
    def _strip(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {
            name: value.strip() if isinstance(value, str) else value
            for name, value in values.items()
        }

    @field_validator(
        "tasks_api_url", "mcp_url", "mcp_issuer", "better_auth_url", check_fields=False
    )
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is not None and not _is_web_url(url):
            raise ValueError("must be a URL such as https://api.example.com")
        return url and url.rstrip("/")


class StdioSettings(ApiSettings):
    """Settings of `python -m mcp_server`, which serves one user."""

    tasks_token: SecretStr

    @field_validator("tasks_token")
    @classmethod
    def _check_token(cls, value: SecretStr) -> SecretStr:
        """Return the token, without `Bearer` if it was copied from a header."""
        token = re.sub(r"^bearer\s+", "", value.get_secret_value(), flags=re.IGNORECASE)
        try:
            caller_of(token)
        except InvalidToken as error:
            raise ValueError(f"can't be used: {error}".removesuffix(".")) from None
        return SecretStr(token)


class HttpSettings(ApiSettings):
    """Settings of `python -m mcp_server http`. It has no token of its own."""

    mcp_url: str = "http://localhost:8001/mcp"
    mcp_host: str = "127.0.0.1"
    mcp_port: Annotated[int, Field(ge=0, le=65535)] = 8001
    mcp_issuer: str | None = None
    better_auth_url: str | None = None

    @field_validator("mcp_url")
    @classmethod
    def _check_form(cls, url: str) -> str:
        """Refuse a URL that clients send in another form, because each request would fail."""
        parts = urlsplit(url)
        if not PLAIN_URL.fullmatch(url) or f"{parts.scheme}:{parts.port}" in DEFAULT_PORTS:
            raise ValueError(
                "must have a host in lower case, no default port and a path without special"
                " characters, as in https://mcp.example.com/mcp"
            )
        return url

    @model_validator(mode="after")
    def _require_issuer(self) -> Self:
        if self.mcp_issuer is None and self.better_auth_url is None:
            raise ValueError(
                "MCP_ISSUER or BETTER_AUTH_URL is required, to say where users sign in"
            )
        return self

    @property
    def issuer(self) -> str:
        """MCP_ISSUER, or the issuer of Better Auth's OAuth plugins: its base URL with the path."""
        base = self.mcp_issuer or self.better_auth_url or ""
        return base if self.mcp_issuer or urlsplit(base).path else base + API_PATH


Wanted = TypeVar("Wanted", bound=ApiSettings)


def read(kind: type[Wanted]) -> Wanted:
    """Return the settings. A wrong one ends the process with a message that names it."""
    try:
        return kind()
    except ValidationError as error:
        raise SystemExit(_sentence(error)) from None
    except UnicodeDecodeError:
        raise SystemExit("Configuration error: .env is not UTF-8 text.") from None
    except OSError as error:
        raise SystemExit(f"Configuration error: .env can't be read: {error.strerror}.") from None


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    name = str(first["loc"][0]).upper() if first["loc"] else ""
    if first["type"] == "missing":
        message = "is required; docs/assistants.md says how to get a token"
    elif name == "MCP_PORT":
        message = "must be a whole number from 0 to 65535"
    else:
        message = first["msg"].removeprefix("Value error, ")
    return f"Configuration error: {name} {message}.".replace("  ", " ")


def _is_web_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != -1
    except ValueError:
        return False
