"""Authentication at the HTTP level. Invalid tokens themselves are in tests/tokens/."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import URL

import auth
from config import ROOT, Settings
from errors import InvalidToken
from tests.support.responses import INVALID_TOKEN, TOKEN_EXPIRED
from tests.support.services import claims, forge, sql, unreachable
from tests.support.serving import SECRET, bearer
from tokens.verifier import TokenVerifier, make_token

NOT_AUTHENTICATED = {
    "detail": "Log in first: the request has no token (Authorization: Bearer <token>).",
    "code": "NOT_AUTHENTICATED",
}


def test_a_valid_token_is_accepted(client: httpx.Client, alice: str) -> None:
    response = client.get(f"/api/{alice}/tasks")
    assert response.status_code == 200
    assert "www-authenticate" not in response.headers


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_is_case_insensitive(anonymous: httpx.Client, alice: str, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {forge(claims(alice))}"}
    assert anonymous.get(f"/api/{alice}/tasks", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "{token}", "Basic {token}", "Token {token}", "Bearer{token}"],
)
def test_a_request_without_a_bearer_token_is_a_401(
    anonymous: httpx.Client, alice: str, authorization: str
) -> None:
    headers = {"Authorization": authorization.format(token=forge(claims(alice)))}
    response = anonymous.get(f"/api/{alice}/tasks", headers=headers)
    assert (response.status_code, response.json()) == (401, NOT_AUTHENTICATED)
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "lines",
    [
        ("Bearer {alice}", "Bearer {alice}"),
        ("Bearer {alice}", "Bearer {bob}"),
        ("Bearer {bob}", "Bearer {alice}"),
        ("Basic eDp5", "Bearer {alice}"),
        ("Bearer {alice}", "Basic eDp5"),
        ("Bearer {alice}", ""),
        ("", "Bearer {alice}"),
        ("Bearer {alice}", "Bearer {alice}", "Bearer {alice}"),
        # A proxy may join several lines into one (RFC 9110, section 5.3).
        ("Bearer {alice}, Bearer {alice}",),
        ("Bearer {alice},Bearer {bob}",),
        ("Bearer {bob} , \tBearer {alice}",),
        ("Basic eDp5, Bearer {alice}",),
        ("Basic eDp5,bearer {alice}",),
        ("Bearer {alice}, Basic eDp5",),
        (", Bearer {alice}",),
        ("Bearer {alice},",),
    ],
)
def test_several_credentials_are_refused_even_if_one_is_valid(
    anonymous: httpx.Client, alice: str, lines: tuple[str, ...]
) -> None:
    tokens = {"alice": forge(claims(alice)), "bob": forge(claims("bob"))}
    headers = [("Authorization", line.format(**tokens)) for line in lines]
    response = anonymous.get(f"/api/{alice}/tasks", headers=headers)
    assert (response.status_code, response.json()) == (401, INVALID_TOKEN)
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("line", "status", "code"),
    [
        ("Bearer   {token}", 200, None),  # RFC 9110, section 11.4: one space or more
        ("Bearer {token}   ", 200, None),
        ("Bearer {token}\t", 200, None),
        ("Bearer  ", 401, "NOT_AUTHENTICATED"),
        ("Bearer\t{token}", 401, "NOT_AUTHENTICATED"),
        ("Bearer \t{token}", 401, "INVALID_TOKEN"),
        ("Bearer {token} {token}", 401, "INVALID_TOKEN"),
        ("Bearer {token} x", 401, "INVALID_TOKEN"),
        ("Bearer x {token}", 401, "INVALID_TOKEN"),
        ("Bearer Bearer {token}", 401, "INVALID_TOKEN"),
        ("Bearer\u00a0{token}", 401, "NOT_AUTHENTICATED"),
        ("Bearer {token}\u00a0", 401, "INVALID_TOKEN"),
        ("Bearer {token}\u0085", 401, "INVALID_TOKEN"),
        ("Bearer token={token}", 401, "INVALID_TOKEN"),
    ],
)
def test_white_space_around_the_token_is_as_rfc_9110_allows(
    base_url: str, alice: str, line: str, status: int, code: str | None
) -> None:
    value = line.format(token=forge(claims(alice))).encode("latin-1")
    with closing(HTTPConnection(base_url.removeprefix("http://"))) as connection:
        connection.request("GET", f"/api/{alice}/tasks", headers={"Authorization": value})
        response = connection.getresponse()
        assert (response.status, json.load(response).get("code")) == (status, code)


@pytest.mark.parametrize("place", ["access_token", "token", "authorization"])
def test_a_token_anywhere_else_is_ignored(anonymous: httpx.Client, alice: str, place: str) -> None:
    token = forge(claims(alice))
    anonymous.cookies.set(place, token)
    response = anonymous.get(f"/api/{alice}/tasks", params={place: token})
    assert (response.status_code, response.json()) == (401, NOT_AUTHENTICATED)


WRONG_REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "", {}),
    ("GET", "?limit=0", {}),
    ("GET", "?cursor=garbage", {}),
    ("POST", "", {"content": b"{not json"}),
    ("POST", "", {"json": {"title": ""}}),
    ("POST", "", {"content": b" " * 100_000}),
    ("POST", "", {"content": iter([b" " * 40_000, b" " * 40_000])}),
    ("GET", "/0", {}),
    ("GET", "/abc", {}),
    ("PUT", "/99999999999999999999", {"content": b"\xff"}),
    ("DELETE", "/1.5", {}),
    ("PATCH", "/-1/complete", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), WRONG_REQUESTS)
def test_the_token_is_checked_before_anything_else(
    anonymous: httpx.Client, alice: str, method: str, path: str, body: dict[str, Any]
) -> None:
    response = anonymous.request(method, f"/api/{alice}/tasks{path}", **body)
    assert (response.status_code, response.json()) == (401, NOT_AUTHENTICATED)


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"Authorization": "Bearer x.y.z"}, 401), (bearer("bob"), 403)],
)
def test_a_refused_request_does_not_use_the_database(
    headers: dict[str, str], status: int, cut_off: httpx.Client
) -> None:
    response = cut_off.get("/api/alice/tasks", headers={"Authorization": "", **headers})
    assert response.status_code == status
    assert cut_off.get("/api/alice/tasks").status_code == 503


@pytest.fixture(scope="module")
def cut_off() -> Iterator[httpx.Client]:
    """A client with alice's token, for a service that cannot reach its database."""
    with unreachable() as client:
        yield client


@pytest.mark.slow
def test_a_cached_token_expires_when_the_token_does(anonymous: httpx.Client, alice: str) -> None:
    now = int(time.time())
    ends, begins = claims(alice, exp=now - 8), claims(alice, nbf=now + 12)
    answers = [_get(anonymous, alice, forge(ends)), _get(anonymous, alice, forge(begins))]
    assert [answer.status_code for answer in answers] == [200, 401]
    time.sleep(2.2)
    expired = _get(anonymous, alice, forge(ends))
    assert (expired.status_code, expired.json()) == (401, TOKEN_EXPIRED)
    assert _get(anonymous, alice, forge(begins)).status_code == 200


def _get(client: httpx.Client, user_id: str, token: str) -> httpx.Response:
    return client.get(f"/api/{user_id}/tasks", headers={"Authorization": f"Bearer {token}"})


# Most of these look like keys to python-jose, which would parse them.
SECRETS = [
    "plain and long enough, with spaces at both ends ",
    "gehëim-秘密-🔑-" * 4,
    '{"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAA"}',
    '{"keys": [{"kty": "oct", "k": "AAAAAAAAAAAAAAAA"}]}',
    '["a list of more than 32 characters"]',
    "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK\n-----END PUBLIC KEY-----\n",
    "-----BEGIN CERTIFICATE-----\nMIIBszCCARygAwIBAgIJ\n-----END CERTIFICATE-----",
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7 someone@example.com",
    "dGhpcyBpcyBiYXNlNjQgb2YgMzIgYnl0ZXMgYW5kIG1vcmU=",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_used_as_raw_bytes(secret: str) -> None:
    verifier = TokenVerifier(secret)
    assert verifier.user_id(forge(claims("alice"), secret=secret)) == "alice"
    assert verifier.user_id(make_token("alice", secret)) == "alice"
    with pytest.raises(InvalidToken):
        verifier.user_id(forge(claims("alice")))


def test_issuer_and_audience_are_ignored_unless_they_are_configured(
    anonymous: httpx.Client, alice: str
) -> None:
    token = forge(claims(alice, iss="https://anybody.example", aud=["anything"]))
    assert _get(anonymous, alice, token).status_code == 200


@pytest.fixture(scope="module")
def choosy() -> Iterator[httpx.Client]:
    """A service that requires one of two issuers and audiences. A 503 means a valid token."""
    settings = {"jwt_issuer": "https://us.example, https://preview.us.example"}
    with unreachable(**settings, jwt_audience="tasks,chores") as client:
        yield client


@pytest.mark.parametrize(
    ("others", "status"),
    [
        ({"iss": "https://us.example", "aud": "tasks"}, 503),
        ({"iss": "https://us.example", "aud": ["else", "tasks"]}, 503),
        ({"iss": "https://preview.us.example", "aud": "chores"}, 503),
        ({"iss": "https://us.example", "aud": ["chores", "tasks"]}, 503),
        ({"iss": "https://us.example, https://preview.us.example", "aud": "tasks"}, 401),
        ({"iss": "https://us.example", "aud": "tasks,chores"}, 401),
        ({"iss": "https://us", "aud": "tasks"}, 401),
        ({"iss": "tasks", "aud": "https://us.example"}, 401),
        ({"iss": "", "aud": ""}, 401),
        ({"iss": "https://us.example"}, 401),
        ({"iss": "https://us.example", "aud": "tasks2"}, 401),
        ({"iss": "https://us.example", "aud": ["else"]}, 401),
        ({"iss": "https://us.example", "aud": []}, 401),
        ({"iss": "https://us.example", "aud": [["tasks"]]}, 401),
        ({"iss": "https://us.example", "aud": {"tasks": 1}}, 401),
        ({"aud": "tasks"}, 401),
        ({"iss": "https://us.example/", "aud": "tasks"}, 401),
        ({"iss": ["https://us.example"], "aud": "tasks"}, 401),
        ({"iss": None, "aud": None}, 401),
    ],
)
def test_issuer_and_audience_are_checked_when_they_are_configured(
    choosy: httpx.Client, others: dict[str, Any], status: int
) -> None:
    response = _get(choosy, "alice", forge(claims("alice", **others)))
    assert response.status_code == status
    assert status == 503 or response.json() == INVALID_TOKEN


def test_a_user_id_is_opaque(base_url: str, postgres: URL) -> None:
    for user_id in ("00000000-0000-4000-8000-000000000000", "42", "é🙂 user", "x" * 255):
        with httpx.Client(base_url=base_url) as client:
            path = f"/api/{user_id}/tasks"
            headers = {"Authorization": f"Bearer {forge(claims(user_id))}"}
            response = client.post(path, json={"title": "Mine"}, headers=headers)
            assert (response.status_code, response.json()["user_id"]) == (201, user_id)
            sql(postgres, "DELETE FROM tasks WHERE user_id = %s", user_id)


def test_the_command_prints_a_valid_token(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(_env_file=None, better_auth_secret=SECRET)
    auth.main(["user_123"], settings)
    assert TokenVerifier(SECRET).user_id(capsys.readouterr().out.strip()) == "user_123"


def test_the_command_uses_the_configured_issuer_and_audience(
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = Settings(
        _env_file=None,
        better_auth_secret=SECRET,
        jwt_issuer="https://us.example,https://preview.us.example",
        jwt_audience="us",
    )
    auth.main(["user_123"], settings)
    verifier = TokenVerifier(SECRET, ("https://us.example",), ("us",))
    assert verifier.user_id(capsys.readouterr().out.strip()) == "user_123"


@pytest.mark.parametrize(
    "arguments", [[], [""], [" "], ["a", "b"], ["x" * 256], ["-h"], ["--help"]]
)
def test_the_command_prints_its_usage_for_wrong_arguments(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match=r"Usage: uv run auth\.py USER_ID"):
        auth.main(arguments, Settings(_env_file=None, better_auth_secret=SECRET))


def test_the_command_refuses_to_make_a_token_in_production() -> None:
    environment = {
        "ENVIRONMENT": "production",
        "DATABASE_URL": "postgresql://db.example/tasks",
        "BETTER_AUTH_SECRET": SECRET,
    }
    done = subprocess.run(
        [sys.executable, "auth.py", "user_123"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "Tokens are made here in development only; in production Better Auth makes them.\n"
    )
