"""Requests that the server refuses without the application: each response has every header."""

import pytest

from middleware.errors import OutermostMiddleware
from serving import memory_budget, protocol
from serving.buffer import MAX_HEAD
from serving.memory_budget import MemoryBudget
from tests.support.refusals import LINES, answer, assert_complete
from tests.support.serving import bearer

BEFORE_THE_HEAD = {
    "a malformed request line": b"GET  / HTTP/1.1\r\n" + LINES + b"\r\n",
    "a target without a slash": b"GET x HTTP/1.1\r\n" + LINES + b"\r\n",
    "another version": b"GET / HTTP/2.0\r\n" + LINES + b"\r\n",
    "an unknown method": b"BREW / HTTP/1.1\r\n" + LINES + b"\r\n",
    "CONNECT": b"CONNECT tasks:80 HTTP/1.1\r\n" + LINES + b"\r\n",
    "a malformed line": b"GET / HTTP/1.1\r\n" + LINES + b"Foo : x\r\n\r\n",
    "a malformed line of an incomplete head": b"GET / HTTP/1.1\r\n" + LINES + b"Foo : x\r\n",
    "two hosts": b"GET / HTTP/1.1\r\n" + LINES + b"Host: x\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\n" + LINES + b"Content-Length: 1\r\n" * 2 + b"\r\n",
    "another coding": b"POST / HTTP/1.1\r\n" + LINES + b"Transfer-Encoding: gzip\r\n\r\n",
    "too many lines": b"GET / HTTP/1.1\r\n" + LINES + b"a: b\r\n" * 101 + b"\r\n",
    "a large head": b"GET / HTTP/1.1\r\n" + LINES + b"a: " + b"b" * MAX_HEAD,
    "an incomplete head": b"GET / HTTP/1.1\r\n" + LINES,
    "a head without memory": b"GET / HTTP/1.1\r\n" + LINES + b"a: " + b"b" * 8192,
}
TOKEN = f"Authorization: {bearer('alice')['Authorization']}\r\n".encode()
CHUNKED = b"".join(
    (
        b"POST /api/alice/tasks HTTP/1.1\r\n",
        LINES,
        TOKEN,
        b"Content-Type: application/json\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n",
    )
)
IN_THE_BODY = {
    "a malformed chunk": b"zz\r\n",
    "a malformed second chunk": b"1\r\n{\r\nzz\r\n",
    "a chunk that is too long": b"1\r\n{}\r\n",
    "a huge chunk": b"fffffffff\r\n",
    "a malformed trailer": b"0\r\nFoo : x\r\n\r\n",
    "a long extension": b"1;" + b"x" * 70_000,
    "a failing application": b"0\r\n\r\n",
}


@pytest.fixture
def base_url(base_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The service, which waits only briefly, and lacks memory or fails if the test needs it."""
    monkeypatch.setattr(protocol, "REQUEST_TIMEOUT", 0.3)
    monkeypatch.setattr(memory_budget, "MAX_WAIT", 0.1)
    name = request.node.callspec.params["name"]
    if name == "a head without memory":
        monkeypatch.setattr(MemoryBudget, "has_room", lambda *_: False)
        monkeypatch.setattr(MemoryBudget, "_fits", lambda *_: False)
    if name == "a failing application":
        monkeypatch.setattr(OutermostMiddleware, "respond", None)
    return base_url


@pytest.mark.parametrize("name", BEFORE_THE_HEAD)
def test_a_refused_head_gets_every_header(base_url: str, name: str) -> None:
    assert_complete(answer(base_url, BEFORE_THE_HEAD[name]))


@pytest.mark.parametrize("in_one_segment", [True, False])
@pytest.mark.parametrize("name", IN_THE_BODY)
def test_a_request_that_is_refused_after_its_head_gets_every_header(
    base_url: str, name: str, in_one_segment: bool
) -> None:
    body = IN_THE_BODY[name]
    segments = [CHUNKED + body] if in_one_segment else [CHUNKED, body]
    assert_complete(answer(base_url, *segments))


@pytest.mark.parametrize("name", IN_THE_BODY)
def test_a_body_can_not_forge_the_origin(base_url: str, name: str) -> None:
    """Neither can a request that follows on the connection."""
    forged = b"\r\nOrigin: https://evil.example\r\nX-Request-ID: forged\r\n\r\n"
    assert_complete(answer(base_url, CHUNKED + IN_THE_BODY[name] + forged))


@pytest.mark.parametrize("name", ["a malformed chunk"])
def test_a_refused_head_request_gets_no_body(base_url: str, name: str) -> None:
    response = answer(base_url, CHUNKED.replace(b"POST", b"HEAD") + IN_THE_BODY[name])
    assert (response.status_code, response.content) == (400, b"")
