"""A stock Better Auth in front of the service, with real sign-ups over HTTP and real tokens."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from sqlalchemy.engine import URL

from development import database as development
from examples.database import auth_database
from tests.better_auth.frontends import SERVERS, Frontend, User, frontend
from tests.parts.snippets import snippet
from tests.support.issuer import Clock
from tests.support.postgres_servers import postgres_versions, temporary_postgres
from tests.support.responses import INVALID_TOKEN, TOKEN_EXPIRED
from tests.support.services import database_of_its_own, service, sql
from tests.support.serving import SECRET
from tokens import jwks

pytestmark = pytest.mark.parts

FORBIDDEN = {"detail": "These are not your tasks.", "code": "FORBIDDEN"}
MODES = ("key_set", "shared_secret")
FIFTEEN_MINUTES = 15 * 60


@pytest.fixture(scope="module")
def database(postgres: URL) -> Iterator[URL]:
    """One database for the frontend and the service, because they often share one."""
    with database_of_its_own(postgres) as url:
        yield url


@pytest.fixture(scope="module")
def documented(
    database: URL, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Frontend]]:
    """A frontend of each mode, built from the unchanged files of the documentation."""
    with (
        frontend(database, MODES[0], tmp_path_factory.mktemp(MODES[0])) as key_set,
        frontend(database, MODES[1], tmp_path_factory.mktemp(MODES[1])) as shared_secret,
    ):
        yield {"key_set": key_set, "shared_secret": shared_secret}


def settings_for(mode: str, frontend: Frontend) -> dict[str, Any]:
    """Return the service's settings that the documentation shows for `mode`."""
    if mode == "key_set":
        return {"better_auth_url": frontend.url, "better_auth_secret": None}
    return {"better_auth_secret": SECRET}


def part(token: str, index: int) -> dict[str, Any]:
    text = token.split(".")[index]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return decoded


def ask(client: httpx.Client, user_id: str, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return client.get(f"/api/{user_id}/tasks", headers=headers)


def assert_invalid(client: httpx.Client, user: User, token: str) -> None:
    response = ask(client, user.id, token)
    assert (response.status_code, response.json()) == (401, INVALID_TOKEN)


def assert_each_has_their_own(client: httpx.Client, alice: User, bob: User) -> None:
    """Check that alice can create a task, and that bob reads his own list but not hers."""
    headers = {"Authorization": f"Bearer {alice.token()}"}
    task = {"title": "Buy milk"}
    created = client.post(f"/api/{alice.id}/tasks", json=task, headers=headers)
    assert (created.status_code, created.json()["user_id"]) == (201, alice.id)
    assert ask(client, alice.id, alice.token()).json()["tasks"] == [created.json()]
    assert ask(client, bob.id, bob.token()).json()["count"] == 0
    foreign = ask(client, alice.id, bob.token())
    assert (foreign.status_code, foreign.json()) == (403, FORBIDDEN)


@pytest.mark.parametrize(("mode", "algorithm"), [("key_set", "EdDSA"), ("shared_secret", "HS256")])
def test_users_of_the_documented_frontend_reach_only_their_own_tasks(
    database: URL, documented: dict[str, Frontend], mode: str, algorithm: str
) -> None:
    frontend = documented[mode]
    with (
        service(database, **settings_for(mode, frontend)) as client,
        frontend.user(f"alice-{mode}") as alice,
        frontend.user(f"bob-{mode}") as bob,
    ):
        token = alice.token()
        claims = part(token, 1)
        assert part(token, 0)["alg"] == algorithm
        assert (claims["sub"], claims["iss"], claims["aud"]) == (
            alice.id,
            frontend.url,
            frontend.url,
        )
        assert claims["exp"] - claims["iat"] == FIFTEEN_MINUTES
        assert_each_has_their_own(client, alice, bob)
        header = alice.client.get("/api/auth/get-session").headers["set-auth-jwt"]
        assert ask(client, alice.id, header).status_code == 200


def test_shared_secret_tokens_pass_a_check_of_issuer_and_audience(
    database: URL, documented: dict[str, Frontend]
) -> None:
    frontend = documented["shared_secret"]
    recipient = {"jwt_issuer": frontend.url, "jwt_audience": frontend.url}
    with service(database, **recipient) as client, frontend.user("carol") as carol:
        assert ask(client, carol.id, carol.token()).status_code == 200


def test_with_an_issuer_and_a_secret_both_frontends_are_served(
    database: URL, documented: dict[str, Frontend]
) -> None:
    url = documented["key_set"].url
    with service(database, better_auth_url=url, better_auth_secret=SECRET) as client:
        for mode, frontend in documented.items():
            with frontend.user(f"dave-{mode}") as dave:
                assert ask(client, dave.id, dave.token()).status_code == 200


def test_a_token_of_the_other_mode_is_refused(
    database: URL, documented: dict[str, Frontend]
) -> None:
    for mode, other in (MODES, MODES[::-1]):
        with (
            service(database, **settings_for(mode, documented[mode])) as client,
            documented[other].user(f"erin-{mode}") as erin,
        ):
            assert_invalid(client, erin, erin.token())


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "ES512", "PS256"])
def test_every_algorithm_of_better_auth_is_accepted(
    postgres: URL, tmp_path: Path, algorithm: str
) -> None:
    with (
        database_of_its_own(postgres) as url,
        frontend(url, "key_set", tmp_path, jwks={"keyPairConfig": {"alg": algorithm}}) as ours,
        service(url, **settings_for("key_set", ours)) as client,
        ours.user("alice") as alice,
        ours.user("bob") as bob,
    ):
        assert part(alice.token(), 0)["alg"] == algorithm
        assert_each_has_their_own(client, alice, bob)


HOSTS = {"baseURL": {"allowedHosts": ["127.0.0.1:*", "localhost:*"], "protocol": "http"}}


def at_its_other_host(frontend: Frontend) -> Frontend:
    other = copy(frontend)
    other.url = frontend.url.replace("127.0.0.1", "localhost")
    return other


def test_a_frontend_with_several_hosts_names_the_host_of_the_request_as_issuer(
    postgres: URL, tmp_path: Path
) -> None:
    with (
        database_of_its_own(postgres) as url,
        frontend(url, "key_set", tmp_path, options=HOSTS) as ours,
        ours.user("alice") as alice,
        at_its_other_host(ours).user("bob") as bob,
    ):
        claims = part(bob.token(), 1)
        assert claims["iss"] == claims["aud"] == at_its_other_host(ours).url
        both = f"{ours.url},{claims['iss']}"
        with service(url, **settings_for("key_set", ours)) as client:
            assert ask(client, alice.id, alice.token()).status_code == 200
            assert_invalid(client, bob, bob.token())
        several = {"jwt_issuer": both, "jwt_audience": both}
        with service(url, **settings_for("key_set", ours), **several) as client:
            assert_each_has_their_own(client, alice, bob)


def test_a_frontend_with_several_hosts_can_always_name_the_same_issuer(
    postgres: URL, tmp_path: Path
) -> None:
    """This frontend also uses Ed25519, the newer name for EdDSA (RFC 9864)."""
    one = {"issuer": "http://tasks.example", "audience": "http://tasks.example"}
    keys = {"keyPairConfig": {"alg": "Ed25519"}}
    with (
        database_of_its_own(postgres) as url,
        frontend(url, "key_set", tmp_path, options=HOSTS, jwks=keys, jwt=one) as ours,
        ours.user("alice") as alice,
        at_its_other_host(ours).user("bob") as bob,
        service(
            url,
            environment="development",
            better_auth_secret=None,
            better_auth_url=one["issuer"],
            jwks_url=f"{ours.url}/api/auth/jwks",
        ) as client,
    ):
        assert part(bob.token(), 0)["alg"] == "Ed25519"
        assert part(bob.token(), 1)["iss"] == one["issuer"]
        assert_each_has_their_own(client, alice, bob)


@pytest.mark.parametrize("mode", MODES)
def test_an_expired_token_is_refused_as_expired(postgres: URL, tmp_path: Path, mode: str) -> None:
    passed = {"expirationTime": int(time.time()) - 60}
    with (
        database_of_its_own(postgres) as url,
        frontend(url, mode, tmp_path, jwt=passed) as ours,
        service(url, **settings_for(mode, ours)) as client,
        ours.user("alice") as alice,
    ):
        response = ask(client, alice.id, alice.token())
        assert (response.status_code, response.json()) == (401, TOKEN_EXPIRED)


@pytest.mark.parametrize("mode", MODES)
def test_a_better_auth_token_for_another_purpose_is_refused(
    postgres: URL, tmp_path: Path, mode: str
) -> None:
    """Two of these are JWTs signed with the shared secret, and one with a key of the key set."""
    cached = {"session": {"cookieCache": {"enabled": True, "strategy": "jwt"}}}
    plugin = {"sessionCookieCache": True} if mode == "key_set" else {}
    with (
        database_of_its_own(postgres) as url,
        frontend(url, mode, tmp_path, options=cached, plugin=plugin) as ours,
        service(url, **{"better_auth_url": ours.url, "better_auth_secret": SECRET}) as client,
        ours.user("alice") as alice,
    ):
        good = alice.token()
        link = mailed(alice, ours)
        cookies = {name: unquote(value) for name, value in alice.client.cookies.items()}
        session, cache = (cookies[f"better-auth.session_{kind}"] for kind in ("token", "data"))
        assert part(link, 0)["alg"] == "HS256"
        if mode == "key_set":
            assert part(cache, 0)["kid"] == part(good, 0)["kid"]
            assert part(cache, 1)["sub"] == alice.id
        else:
            assert part(cache, 0)["alg"] == "HS256"
            assert ask(client, alice.id, good).status_code == 200
        for wrong in (link, cache, session, session.split(".")[0], alice.session_token):
            assert_invalid(client, alice, wrong)


def mailed(user: User, frontend: Frontend) -> str:
    """Return the token of the link that verifies the user's e-mail address."""
    address = user.client.get("/api/auth/get-session").json()["user"]["email"]
    response = user.client.post("/api/auth/send-verification-email", json={"email": address})
    assert response.status_code == 200, response.text
    return frontend.says()


def test_tokens_work_across_a_rotation_of_keys(
    postgres: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(jwks, "time", clock)
    with (
        database_of_its_own(postgres) as url,
        frontend(url, "key_set", tmp_path, jwks={"rotationInterval": 2}) as ours,
        service(url, **settings_for("key_set", ours)) as client,
        ours.user("alice") as alice,
    ):
        first = alice.token()
        assert ask(client, alice.id, first).status_code == 200
        time.sleep(2.1)
        second = alice.token()
        assert part(first, 0)["kid"] != part(second, 0)["kid"]
        clock.ahead += jwks.REFRESH_INTERVAL
        assert ask(client, alice.id, second).status_code == 200
        assert ask(client, alice.id, first).status_code == 200  # within Better Auth's grace period


@pytest.mark.parametrize("mode", MODES)
def test_the_documented_frontend_survives_a_restart_of_postgres(
    tmp_path_factory: pytest.TempPathFactory, mode: str
) -> None:
    folder = tmp_path_factory.mktemp("postgres")
    _, programs = postgres_versions().popitem()
    restart = ("restart", "-w", "-s", "-m", "fast", "-D", str(folder / "data"))
    with (
        temporary_postgres(programs, folder) as url,
        frontend(url, mode, tmp_path_factory.mktemp(mode)) as ours,
        ours.user("alice") as alice,
    ):
        token = alice.token()
        command = [*development._setpriv_prefix(), str(programs / "pg_ctl"), *restart]
        subprocess.run(command, cwd="/", check=True, stdout=subprocess.DEVNULL)
        assert "terminating connection" in ours.complaint()
        assert part(alice.token(), 1)["sub"] == part(token, 1)["sub"] == alice.id


@contextmanager
def stopped(programs: Path, folder: Path) -> Iterator[None]:
    """Stop a temporary Postgres, and start it again with the same options."""

    def control(*words: str) -> None:
        program = [*development._setpriv_prefix(), str(programs / "pg_ctl"), *words]
        command = [*program, "-w", "-s", "-D", str(folder / "data")]
        subprocess.run(command, cwd="/", check=True, stdout=subprocess.DEVNULL)

    options = (folder / "data/postmaster.opts").read_text().partition(" ")[2].replace('"', "'")
    control("stop", "-m", "fast")
    try:
        yield
    finally:
        control("start", "-l", str(folder / "log"), "-o", options)


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_that_starts_without_the_database_works_once_it_is_there(
    tmp_path_factory: pytest.TempPathFactory, server: str
) -> None:
    folder = tmp_path_factory.mktemp("postgres")
    _, programs = postgres_versions().popitem()
    with (
        temporary_postgres(programs, folder) as url,
        frontend(url, "key_set", tmp_path_factory.mktemp(server), server=server) as ours,
    ):
        session = f"{ours.url}/api/auth/get-session"
        with stopped(programs, folder):
            for _ in range(2):
                assert httpx.get(session).status_code == 503
                assert ours.complaint().startswith("connect ")
        with ours.user("alice") as alice:
            assert part(alice.token(), 1)["sub"] == alice.id


@pytest.mark.parametrize("server", SERVERS)
def test_a_request_that_better_auth_cannot_read_does_not_end_the_server(
    database: URL, tmp_path: Path, server: str
) -> None:
    with frontend(database, "key_set", tmp_path, server=server) as ours:
        bad = {"Host": "a b"}
        assert httpx.get(f"{ours.url}/api/auth/ok", headers=bad).status_code == 503
        assert httpx.get(f"{ours.url}/api/auth/ok").status_code == 200


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_without_its_tables_ends_because_it_would_never_find_them(
    postgres: URL, tmp_path: Path, server: str
) -> None:
    with (
        database_of_its_own(postgres) as url,
        frontend(url, "key_set", tmp_path, server=server) as ours,
    ):
        sql(url, "DROP TABLE jwks")
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{ours.url}/api/auth/get-session")
        assert ours.complaint() == "Database schema mismatch"
        assert ours.ends() == 1


def test_a_frontend_does_not_share_tables_with_a_frontend_that_has_another_secret(
    postgres: URL, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The example has a secret of its own, and so it has a database of its own too."""
    other = {"secret": SECRET[::-1]}
    folders = (tmp_path_factory.mktemp("frontend") for _ in range(3))
    with database_of_its_own(postgres) as url:
        with frontend(url, "key_set", next(folders)) as first, first.user("alice") as alice:
            assert alice.token()
        separate = auth_database(url)
        with (
            frontend(separate, "key_set", next(folders), options=other) as example,
            example.user("bob") as bob,
        ):
            assert bob.token()
        with (
            frontend(url, "key_set", next(folders), options=other) as second,
            second.user("carol") as carol,
        ):
            assert carol.client.get("/api/auth/get-session").status_code == 500
            while "Failed to decrypt private key" not in (line := second.complaint()):
                assert line
            sql(url, "DELETE FROM jwks")  # as docs/better-auth.md says
            assert carol.token()


IMPORTS = """
import { betterAuth } from "better-auth"
import { createAuthClient } from "better-auth/client"
import { jwtClient } from "better-auth/client/plugins"
import { jwt } from "better-auth/plugins"
const authClient = createAuthClient({ plugins: [jwtClient()] })
"""


def configuration() -> str:
    """Return the parts of files that the pages show."""
    short = snippet("docs/reference/authentication.md", "betterAuth(")
    one_name = snippet("docs/better-auth.md", "issuer:")
    return f"{short}\nexport const plugin = {one_name}"


@pytest.mark.parametrize("mode", MODES)
def test_the_documented_files_compile(documented: dict[str, Frontend], mode: str) -> None:
    folder = documented[mode].folder
    shutil.copy(SERVERS["documented"], folder)
    (folder / "configuration.ts").write_text(f"{IMPORTS}\n{configuration()}")
    done = subprocess.run(["node_modules/.bin/tsc"], cwd=folder, stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (0, "")
