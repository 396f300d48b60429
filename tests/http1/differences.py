"""The cases in which the service differs from h11, by their names, and the reasons."""

import re

from tests.http1.cases import Case, Outcome
from tests.http1.reference import Reading

# Cases that h11 reads as a request and the service refuses.
STRICTER = {
    "RFC 9112, section 3.2: a Host with an invalid value is a 400": r"Host '.*",
    "RFC 9112, section 3.2.1: an origin form begins with a slash": (
        r"request line 'GET (echo|tasks:80|\?x) HTTP/1.1'"
    ),
    "RFC 9110, section 4.2.1: a URL with an empty host is invalid": r"target 'http://(/echo)?'",
    "RFC 9110, section 15.6.6: another major version is a 505": (
        r"version HTTP/[02389]\.\d|the preface of HTTP/2"
    ),
    "RFC 9112, section 5.2: obs-fold is a 400": (
        r"header '([ \\].?[X:].*|(X|Content-Length):.*\\r\\n( |\\t).*)'"
    ),
    "RFC 9110, section 5.5: no control characters in a value": r"header 'X: .*\\x(01|08|1f|7f).*'",
    "RFC 9112, section 2.2: a line ends with CRLF, and a bare LF does not end one": (
        r"bare LF .*|header '.*\\n.*'|end '0\\r\\n\\n'|trailers '.*\\n.*'"
    ),
    "RFC 9112, section 2.2: a bare CR is invalid": r"extension .*\\r.*",
    "RFC 9112, section 6.3: two lengths may be refused": r"Content-Length '5(,|\\r.* )5'",
    "RFC 9112, section 6.1: a request with both framings ought to be an error": (
        r"(Content-Length( 0)? and Transfer-Encoding|Transfer-Encoding and Content-Length)"
    ),
    "our limit: a chunk size has at most 16 digits": r"chunk size '00000000000000005'",
    "our limit: 100 header lines": r"(101|1000) header lines",
    "our limit: 64 KiB for the head, and for framing outside the body": (
        r"over 64 KiB.*|a header name over 64 KiB|target '/echo\?x+'|a method without an end"
    ),
    "the service opens no tunnels, and reads nothing after a CONNECT": r"CONNECT.*",
}
# Cases that h11 refuses and the service reads.
LAXER = {
    "RFC 9112, section 7.1.1: white space before an extension": r"extension '( |\\t).*;.*'",
    "RFC 9110, section 6.5.1: the service drops every trailer": (
        r"trailers '(Content-Length: x|Transfer-Encoding: gzip)'"
    ),
}
REASONS = STRICTER | LAXER


def differs(case: Case) -> bool:
    """Return whether there is a reason why the service and h11 differ in this case."""
    return any(re.fullmatch(pattern, case.name) for pattern in REASONS.values())


def agrees(outcome: Outcome, reading: Reading, after: str) -> bool:
    """Return whether the requests that get a response are those that h11 has read."""
    known = [summary for summary in outcome.responses if summary.tag]
    tags = [summary.tag for summary in known] + ([] if outcome.closes else [after])
    return tags == [request.tag for request in reading.requests] and all(
        summary.echo in ("", f"{request.method} {request.target} {request.body!r}")
        for summary, request in zip(known, reading.requests, strict=False)
    )
