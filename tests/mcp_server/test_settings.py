"""A wrong setting ends the process with one sentence, which never contains the token."""

from typing import Any

import pytest

from mcp_server.__main__ import main
from mcp_server.settings import ApiSettings, HttpSettings, StdioSettings, read
from tests.mcp_server.clients import token_of

URL = "must be a URL such as https://api.example.com."
PLAIN = (
    "MCP_URL must have a host in lower case, no default port and a path without special"
    " characters, as in https://mcp.example.com/mcp."
)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (StdioSettings, HttpSettings):
        monkeypatch.setitem(kind.model_config, "env_file", None)
        for name in kind.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("kind", "values", "sentence"),
    [
        (StdioSettings, {}, "TASKS_TOKEN is required; docs/assistants.md says how to get a token."),
        (
            StdioSettings,
            {"TASKS_TOKEN": "abc"},
            "TASKS_TOKEN can't be used: The token is not a JWT.",
        ),
        (
            StdioSettings,
            {"TASKS_TOKEN": token_of("a"), "TASKS_API_URL": "x"},
            f"TASKS_API_URL {URL}",
        ),
        (
            HttpSettings,
            {},
            "MCP_ISSUER or BETTER_AUTH_URL is required, to say where users sign in.",
        ),
        (HttpSettings, {"MCP_ISSUER": "app.example.com"}, f"MCP_ISSUER {URL}"),
        (HttpSettings, {"MCP_PORT": "-1"}, "MCP_PORT must be a whole number from 0 to 65535."),
        *(
            (HttpSettings, {"MCP_URL": url}, PLAIN)
            for url in (
                "https://mcp.example.com",
                "https://MCP.example.com/mcp",
                "https://mcp.example.com:443/mcp",
                "http://mcp.example.com:80/mcp",
                "https://münchen.example/mcp",
                "https://mcp.example.com:08001/mcp",
                "https://mcp.example.com/a/../mcp",
                "https://mcp.example.com/./mcp",
                "https://mcp.example.com/mcp/..",
                "https://user@mcp.example.com/mcp",
                "https://mcp.example.com/my%20tasks",
                "https://mcp.example.com/{user}/mcp",
                "https://mcp.example.com/mcp?a=b",
            )
        ),
    ],
)
def test_a_wrong_setting_is_reported_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, kind: type[ApiSettings], values: dict[str, Any], sentence: str
) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        read(kind)
    assert ended.value.code == f"Configuration error: {sentence}"


@pytest.mark.parametrize(
    ("values", "issuer"),
    [
        ({"BETTER_AUTH_URL": "https://app.example.com/"}, "https://app.example.com/api/auth"),
        ({"BETTER_AUTH_URL": "https://app.example.com/auth"}, "https://app.example.com/auth"),
        ({"MCP_ISSUER": " https://id.example.com "}, "https://id.example.com"),
    ],
)
def test_the_issuer_is_the_url_that_better_auth_uses(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], issuer: str
) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert read(HttpSettings).issuer == issuer


def test_an_unknown_argument_prints_the_usage() -> None:
    with pytest.raises(SystemExit, match="Usage"):
        main(["sse"])


@pytest.mark.parametrize(
    "url",
    ["https://mcp.example.com/mcp", "http://[::1]:8001/mcp", "http://10.0.0.1:443/a/b-c_d.e~f"],
)
def test_a_plain_url_is_accepted(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("MCP_URL", url)
    monkeypatch.setenv("MCP_ISSUER", "https://id.example.com")
    assert read(HttpSettings).mcp_url == url


@pytest.mark.parametrize("prefix", ["Bearer ", "bearer  "])
def test_a_token_may_have_the_word_bearer_before_it(
    monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    monkeypatch.setenv("TASKS_TOKEN", prefix + token_of("alice"))
    assert read(StdioSettings).tasks_token.get_secret_value() == token_of("alice")
