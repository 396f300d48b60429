"""The issuer's key set over time: it is fetched when needed, kept, and delays no other request."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from sys import getsizeof
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import URL

from errors import AuthUnavailable
from tests.support.issuer import Clock, Issuer, Pair, issuer
from tests.support.processes import free_port, run
from tests.support.responses import INVALID_TOKEN
from tests.support.services import (
    database_of_its_own,
    eventually,
    recorded_log,
    service,
    unreachable,
)
from tokens import jwks

AUTH_UNAVAILABLE = {
    "detail": "The signing key of the token is currently unavailable; try again.",
    "code": "AUTH_UNAVAILABLE",
}
TASKS = "/api/alice/tasks"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(jwks, "time", clock)
    return clock


@pytest.fixture(scope="module")
def tables(postgres: URL) -> Iterator[URL]:
    with database_of_its_own(postgres) as url:
        yield url


@pytest.fixture
def frontend() -> Iterator[Issuer]:
    with issuer() as frontend:
        frontend.publish(Pair("EdDSA"))
        yield frontend


@pytest.fixture
def client(tables: URL, frontend: Issuer, clock: Clock) -> Iterator[httpx.Client]:
    """The client of a service that trusts the frontend, but has not sent it a request yet."""
    with service(tables, better_auth_url=frontend.url) as client:
        yield client


def ask(client: httpx.Client, token: str) -> httpx.Response:
    return client.get(TASKS, headers={"Authorization": f"Bearer {token}"})


def ask_as(client: httpx.Client, frontend: Issuer, pair: Pair, **claims: Any) -> int:
    return ask(client, pair.token(frontend.claims(**claims))).status_code


def assert_unavailable(response: httpx.Response, seconds: range) -> None:
    assert (response.status_code, response.json()) == (503, AUTH_UNAVAILABLE)
    assert int(response.headers["retry-after"]) in seconds
    assert "access-control-allow-origin" in response.headers


def test_keys_are_fetched_for_the_first_token_that_needs_one(
    client: httpx.Client, frontend: Issuer
) -> None:
    assert client.get(TASKS).status_code == 200  # HS256
    assert client.get(TASKS, headers={"Authorization": ""}).status_code == 401
    assert frontend.requests == []
    for _ in range(3):
        assert ask_as(client, frontend, frontend.pairs[0], jti=time.time()) == 200
    assert frontend.requests == ["/api/auth/jwks"]


def test_a_new_key_is_fetched_when_a_token_names_it(
    client: httpx.Client, frontend: Issuer, clock: Clock
) -> None:
    old, new = frontend.pairs[0], Pair("ES256")
    assert ask_as(client, frontend, old) == 200
    frontend.publish(old, new)
    clock.ahead += jwks.REFRESH_INTERVAL
    assert [ask_as(client, frontend, pair) for pair in (new, old, new)] == [200, 200, 200]
    assert len(frontend.requests) == 2


def test_a_revoked_key_and_the_tokens_that_it_signed_are_no_longer_valid(
    client: httpx.Client, frontend: Issuer, clock: Clock
) -> None:
    old, new = frontend.pairs[0], Pair("EdDSA")
    token = old.token(frontend.claims())
    assert [ask(client, token).status_code for _ in range(2)] == [200, 200]
    frontend.publish(new)
    clock.ahead += jwks.REFRESH_INTERVAL
    assert ask_as(client, frontend, new) == 200
    assert (ask(client, token).status_code, ask(client, token).json()) == (401, INVALID_TOKEN)


def test_a_revoked_key_is_not_mistaken_for_a_new_one(
    client: httpx.Client, frontend: Issuer, clock: Clock
) -> None:
    """Nor is a revoked key that was fetched only because a token needed another key."""
    asked_for, came_along, new = Pair("EdDSA"), Pair("EdDSA"), Pair("EdDSA")
    frontend.publish(asked_for, came_along)
    assert [ask_as(client, frontend, pair) for pair in (asked_for, came_along)] == [200, 200]
    frontend.publish(new)
    clock.ahead += jwks.REFRESH_INTERVAL
    assert ask_as(client, frontend, new) == 200
    assert [ask_as(client, frontend, pair) for pair in (asked_for, came_along)] == [401, 401]
    assert len(frontend.requests) == 2


def test_a_new_key_with_the_same_kid_replaces_the_old_one(
    client: httpx.Client, frontend: Issuer, clock: Clock
) -> None:
    old = frontend.pairs[0]
    token = old.token(frontend.claims())
    assert ask(client, token).status_code == 200
    frontend.publish(Pair("EdDSA", kid=old.kid))
    clock.ahead += jwks.REFRESH_INTERVAL
    assert ask_as(client, frontend, Pair("EdDSA")) == 401  # causes a fetch
    assert ask(client, token).status_code == 401


def test_old_keys_are_used_while_they_are_fetched_again(
    client: httpx.Client, frontend: Issuer, clock: Clock
) -> None:
    old, token = frontend.pairs[0], frontend.pairs[0].token(frontend.claims())
    assert ask(client, token).status_code == 200
    clock.ahead += jwks.MAX_AGE - 10
    assert ask(client, token).status_code == 200
    assert len(frontend.requests) == 1
    frontend.publish(Pair("EdDSA"))
    clock.ahead += 20
    assert ask(client, token).status_code == 200  # and starts a fetch in the background
    eventually(lambda: ask(client, token).status_code == 401)
    assert len(frontend.requests) == 2
    assert ask_as(client, frontend, old) == 401


def test_keys_are_kept_when_they_cannot_be_fetched_again(
    client: httpx.Client, frontend: Issuer, clock: Clock
) -> None:
    pair = frontend.pairs[0]
    assert ask_as(client, frontend, pair) == 200
    frontend.status = 500
    for asked in (2, 3):
        clock.ahead += jwks.MAX_AGE + 10
        assert ask_as(client, frontend, pair) == 200
        eventually(lambda asked=asked: len(frontend.requests) == asked)  # type: ignore[misc]
        assert ask_as(client, frontend, pair, jti="another") == 200
        assert len(frontend.requests) == asked


def test_a_new_key_is_a_503_while_fetches_are_throttled(
    client: httpx.Client, frontend: Issuer, clock: Clock
) -> None:
    old, new = frontend.pairs[0], Pair("EdDSA")
    assert ask_as(client, frontend, old) == 200
    frontend.publish(old, new)
    good = new.token(frontend.claims())
    for _ in range(3):
        response = ask(client, good)
        assert_unavailable(response, range(25, 31))
    clock.ahead += int(response.headers["retry-after"])
    assert ask(client, good).status_code == 200
    assert len(frontend.requests) == 2


def test_retry_after_is_the_time_until_the_next_fetch_rounded_up(
    client: httpx.Client, frontend: Issuer, clock: Clock
) -> None:
    clock.stop()
    assert ask_as(client, frontend, frontend.pairs[0]) == 200
    stranger = Pair("EdDSA").token(frontend.claims())
    for passed, left in ((0.25, 30), (0.75, 29), (28.5, 1), (0.25, 1)):
        clock.ahead += passed
        assert_unavailable(ask(client, stranger), range(left, left + 1))
    assert len(frontend.requests) == 1
    clock.ahead += 0.25
    assert ask(client, stranger).status_code == 401
    assert len(frontend.requests) == 2


def test_a_missing_key_is_a_401_after_a_fetch(
    client: httpx.Client, frontend: Issuer, clock: Clock
) -> None:
    assert ask_as(client, frontend, frontend.pairs[0]) == 200
    one, two = (Pair("EdDSA").token(frontend.claims()) for _ in range(2))
    assert [ask(client, token).status_code for token in (one, two)] == [503, 503]
    clock.ahead += jwks.REFRESH_INTERVAL
    # The fetch for `one` also decides about `two`, whose token had arrived before the fetch.
    for token in (one, two, one):
        assert (ask(client, token).status_code, ask(client, token).json()) == (401, INVALID_TOKEN)
    assert len(frontend.requests) == 2


def test_a_fetch_that_began_before_a_token_arrived_does_not_decide_about_it(
    frontend: Issuer,
) -> None:
    async def asked() -> list[object]:
        keys = jwks.KeySet(f"{frontend.url}/api/auth/jwks", frontend.url)
        first = asyncio.create_task(keys.look_up("one"))
        await asyncio.to_thread(eventually, lambda: frontend.requests)
        second = asyncio.create_task(keys.look_up("two"))
        await asyncio.sleep(0)
        frontend.may_answer.set()
        return [*await asyncio.gather(first, second, return_exceptions=True)]

    frontend.may_answer.clear()
    first, second = asyncio.run(asked())
    assert first is None  # which leads to a 401
    assert isinstance(second, AuthUnavailable)
    assert int(second.headers["Retry-After"]) in range(25, 31)


@pytest.mark.slow
def test_a_flood_of_unknown_keys_causes_one_fetch_in_30_seconds(
    client: httpx.Client, frontend: Issuer, clock: Clock
) -> None:
    frontend.delay = 0.2
    strangers = [Pair("EdDSA").token(frontend.claims()) for _ in range(100)]
    with ThreadPoolExecutor(20) as pool:

        def flood() -> list[int]:
            return sorted(pool.map(lambda token: ask(client, token).status_code, strangers))

        # The token that caused the fetch gets a 401, and the others get a 503.
        assert flood() == [401] + [503] * 99
        assert len(frontend.requests) == 1
        clock.ahead += jwks.REFRESH_INTERVAL - 5
        assert flood() == [401] + [503] * 99
        assert len(frontend.requests) == 1
        clock.ahead += 5
        assert flood() == [401] * 100
        assert len(frontend.requests) == 2
    assert jwks.REFRESH_INTERVAL == 30


def test_the_memory_of_unknown_keys_is_limited(
    frontend: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "MAX_UNKNOWN", 10)

    async def flooded() -> None:
        keys = jwks.KeySet(f"{frontend.url}/api/auth/jwks", frontend.url)
        await keys.refresh()
        for number in range(1000):
            for kid in ("the same again and again", f"{number}" * 200):
                with pytest.raises(AuthUnavailable):
                    await keys.look_up(kid)
        assert len(keys.unknown) == 10
        assert hash("the same again and again") in keys.unknown
        assert getsizeof(list(keys.unknown)) < 1000

    asyncio.run(flooded())
    assert len(frontend.requests) == 1


def test_requests_during_a_fetch_wait_for_it_and_are_served(
    client: httpx.Client, frontend: Issuer
) -> None:
    frontend.delay = 0.5
    tokens = [frontend.pairs[0].token(frontend.claims(jti=str(n))) for n in range(20)]
    with ThreadPoolExecutor(20) as pool:
        responses = list(pool.map(lambda token: ask(client, token).status_code, tokens))
    assert (responses, len(frontend.requests)) == ([200] * 20, 1)


def test_until_the_issuer_is_available_its_tokens_get_a_503(tables: URL, clock: Clock) -> None:
    port, pair = free_port(), Pair("EdDSA")
    with service(tables, better_auth_url=f"http://127.0.0.1:{port}") as client:
        assert client.get("/health").status_code == 200
        with issuer() as elsewhere:
            token = pair.token({**elsewhere.claims(), "iss": f"http://127.0.0.1:{port}"})
        assert_unavailable(ask(client, token), range(1, 6))
        assert client.get(TASKS).status_code == 200  # HS256 needs no issuer
        with issuer(port) as frontend:
            frontend.publish(pair)
            good = pair.token(frontend.claims())
            assert_unavailable(ask(client, good), range(1, 6))
            clock.ahead += jwks.FIRST_INTERVAL
            assert ask(client, good).status_code == 200
        assert ask_as(client, frontend, pair, jti="after it went") == 200


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["status", "body", "size", "redirect", "slow"])
def test_a_failing_issuer_is_a_503_only_for_tokens_with_unknown_keys(
    client: httpx.Client,
    frontend: Issuer,
    clock: Clock,
    trouble: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known, unknown = frontend.pairs[0], Pair("ES256")
    assert ask_as(client, frontend, known) == 200
    frontend.publish(known, unknown)
    if trouble == "status":
        frontend.status = 502
    elif trouble == "body":
        frontend.body = b"<!doctype html>"
    elif trouble == "size":
        frontend.body = b" " * jwks.MAX_SIZE + b'{"keys": []}'
    elif trouble == "redirect":
        frontend.status, frontend.headers = 302, {"Location": f"{frontend.url}/elsewhere"}
    else:
        frontend.delay = 1
        monkeypatch.setattr(jwks, "TIMEOUT", 0.3)
    clock.ahead += jwks.REFRESH_INTERVAL
    with recorded_log() as log:
        assert_unavailable(ask(client, unknown.token(frontend.claims())), range(25, 31))
        assert_unavailable(ask(client, unknown.token(frontend.claims())), range(25, 31))
        assert ask_as(client, frontend, known, jti="another") == 200
    assert log.getvalue().count("[The issuer's keys are not available: ") == 1
    assert log.getvalue().count("[503 AUTH_UNAVAILABLE: no keys from the issuer: ") == 2
    assert frontend.requests == ["/api/auth/jwks"] * 2
    frontend.body, frontend.status, frontend.delay = None, 200, 0
    monkeypatch.setattr(jwks, "TIMEOUT", 5.0)
    clock.ahead += jwks.REFRESH_INTERVAL
    assert ask_as(client, frontend, unknown) == 200


def test_a_slow_issuer_delays_no_other_request(
    client: httpx.Client, frontend: Issuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = frontend.pairs[0]
    assert ask_as(client, frontend, known) == 200
    clock.ahead += jwks.REFRESH_INTERVAL
    monkeypatch.setattr(jwks, "TIMEOUT", 60)
    frontend.may_answer.clear()
    waiting = threading.Thread(target=ask_as, args=(client, frontend, Pair("EdDSA")))
    waiting.start()
    try:
        eventually(lambda: len(frontend.requests) == 2)
        assert client.get(TASKS).status_code == 200
        assert ask_as(client, frontend, known, jti="another") == 200
        assert client.get("/health").status_code == 200
        assert waiting.is_alive()
    finally:
        frontend.may_answer.set()
        waiting.join()


def test_a_client_that_disconnects_does_not_cancel_the_fetch(
    client: httpx.Client, frontend: Issuer
) -> None:
    async def impatient() -> None:
        keys = jwks.KeySet(f"{frontend.url}/api/auth/jwks", frontend.url)
        first = asyncio.create_task(keys.refresh())
        second = asyncio.create_task(keys.refresh())
        await asyncio.sleep(0.05)
        first.cancel()
        await second
        with suppress(asyncio.CancelledError):
            await first
        assert keys.named(frontend.pairs[0].kid, "EdDSA")

    frontend.delay = 0.2
    asyncio.run(impatient())
    assert len(frontend.requests) == 1


def test_the_database_is_not_used_before_a_token_is_verified(frontend: Issuer) -> None:
    with unreachable(better_auth_url=frontend.url) as client:
        assert ask_as(client, frontend, Pair("EdDSA")) == 401
        assert ask_as(client, frontend, frontend.pairs[0], user_id="bob") == 403
        response = ask(client, frontend.pairs[0].token(frontend.claims()))
        assert (response.status_code, response.json()["code"]) == (503, "DATABASE_UNAVAILABLE")


def test_the_keys_may_be_at_another_url(tables: URL, frontend: Issuer) -> None:
    settings = {"better_auth_url": "https://app.example.com", "jwks_url": f"{frontend.url}/keys"}
    with service(tables, **settings) as client:
        ours = {"iss": "https://app.example.com", "aud": "https://app.example.com"}
        assert ask_as(client, frontend, frontend.pairs[0], **ours) == 200
        assert ask_as(client, frontend, frontend.pairs[0]) == 401
    assert frontend.requests == ["/keys"]


@pytest.mark.parametrize("url", ["", "https://app.example.com"])
def test_cryptography_is_imported_only_with_an_issuer(url: str) -> None:
    program = (
        "import sys, main; print('cryptography.hazmat' in sys.modules, 'httpx' in sys.modules)"
    )
    assert run("-c", program, better_auth_url=url).stdout == f"{bool(url)} False\n"
