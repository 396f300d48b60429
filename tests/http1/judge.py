"""Compare the responses on a connection with the outcomes of a case."""

import json
import re
from typing import Any

from middleware.security_headers import DEFAULTS
from tests.http1.cases import AFTER, BEFORE, Case, Outcome, Summary, echo
from tests.http1.responses import Response, parse
from tests.http1.wire import Received

NEW_ID = re.compile(r"[0-9a-f]{32}")
KNOWN_ID = re.compile(r"before|after|smuggled|(r|head)\d+")
CODES = {
    400: {"VALIDATION_ERROR"},
    401: {"NOT_AUTHENTICATED", "INVALID_TOKEN"},
    404: {"NOT_FOUND"},
    405: {"METHOD_NOT_ALLOWED"},
    413: {"PAYLOAD_TOO_LARGE"},
    431: {"HEADERS_TOO_LARGE"},
    501: {"NOT_IMPLEMENTED"},
    505: {"HTTP_VERSION_NOT_SUPPORTED"},
}


def judge(case: Case, received: Received, behind: bool = False) -> None:
    """Raise AssertionError unless this is an outcome of `case`, followed by a good request."""
    responses = parse(received.data)
    seen = tuple(summarize(response) for response in responses)
    expected = [_around(outcome, behind) for outcome in case.outcomes]
    assert any(_fits(seen, each) for each in expected), (seen, "instead of", *expected)
    assert received.closed, "the connection is still open"
    if responses and b" HTTP/1.0\r\n" not in case.stream:
        assert "close" in responses[-1].header("connection").lower()
    may_be_told = b"100-continue" in case.stream.lower() and b" HTTP/1.1\r\n" in case.stream
    for response in responses:
        check_form(response)
        assert response.interim <= int(may_be_told)


def summarize(response: Response) -> Summary:
    known = KNOWN_ID.fullmatch(response.id)
    return Summary(response.id if known else None, response.status, _echo(response))


def _echo(response: Response) -> str:
    if response.status != 200 or b'"target"' not in response.body:
        return ""
    read = json.loads(response.body)
    check_read_headers(read["headers"])
    body = read["body"].encode("latin-1")
    return echo(body, read["method"], read["target"]).echo


def check_read_headers(headers: list[list[str]]) -> None:
    """Check that no part of a body became a header."""
    names = [name for name, _ in headers]
    assert names.count("x-request-id") == 1
    assert names.count("host") <= 1
    assert not {"transfer-encoding", "content-length"} <= set(names)
    assert not [value for _, value in headers if "from-" in value]


def check_form(response: Response) -> None:
    """Check the headers of a response, and the body if it is an error."""
    headers = set(response.headers)
    assert {(name.decode(), value.decode()) for name, value in DEFAULTS} <= headers
    assert KNOWN_ID.fullmatch(response.id) or NEW_ID.fullmatch(response.id), response.id
    assert response.interim <= 1
    if response.status >= 400 and not response.id.startswith("head"):
        assert response.header("content-type") == "application/json"
        check_error(response.status, json.loads(response.body))


def check_error(status: int, error: dict[str, Any]) -> None:
    assert error["code"] in CODES.get(status, {error["code"]})
    assert isinstance(error["detail"], str)
    more = {"errors"} if error["code"] == "VALIDATION_ERROR" else set()
    assert error.keys() == {"detail", "code"} | more


def _around(outcome: Outcome, behind: bool) -> tuple[Summary, ...]:
    before = (echo(method="GET", target=f"/echo?{BEFORE}", tag=BEFORE),) if behind else ()
    after = (echo(method="GET", target=f"/echo?{AFTER}", tag=AFTER),)
    return (*before, *outcome.responses, *(() if outcome.closes else after))


def _fits(seen: tuple[Summary, ...], expected: tuple[Summary, ...]) -> bool:
    return len(seen) == len(expected) and all(
        one.status == other.status and other.tag in (None, one.tag) and other.echo in ("", one.echo)
        for one, other in zip(seen, expected, strict=True)
    )
