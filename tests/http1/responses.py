"""A strict parser for the responses on a connection."""

import re
from dataclasses import dataclass, field

STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [ -~]*")
HEADER_LINE = re.compile(rb"([-!#$%&'*+.^_`|~0-9A-Za-z]+): ?([\t -~\x80-\xff]*)")
CHUNK_SIZE = re.compile(rb"[0-9a-f]+")
WITHOUT_BODY = (204, 304)


@dataclass
class Response:
    """A final response, and the number of 100 Continue responses before it."""

    status: int
    headers: list[tuple[str, str]]
    interim: int
    body: bytes = b""
    in_chunks: bool = False
    until_the_end: bool = field(default=False)  # its body ends with the connection

    def header(self, name: str) -> str:
        """Return the value of a header that occurs at most once, or an empty string."""
        values = [value for known, value in self.headers if known == name]
        assert len(values) <= 1, f"{len(values)} {name} headers"
        return values[0] if values else ""

    @property
    def id(self) -> str:
        return self.header("x-request-id")


def parse(data: bytes) -> list[Response]:
    """Return the responses in `data`. Raise AssertionError if it contains anything else.

    The ids of HEAD requests begin with "head", because their responses have no body.
    """
    responses, interim = [], 0
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, f"the head does not end: {head[:200]!r}"
        status_line, *lines = head.split(b"\r\n")
        status = STATUS_LINE.fullmatch(status_line)
        assert status, f"not a status line: {status_line[:200]!r}"
        if status[1] == b"100":
            assert not lines
            interim += 1
            continue
        response = Response(int(status[1]), [_header(line) for line in lines], interim)
        data = _take_body(response, data)
        responses.append(response)
        interim = 0
    return responses


def _header(line: bytes) -> tuple[str, str]:
    match = HEADER_LINE.fullmatch(line)
    assert match, f"not a header line: {line[:200]!r}"
    return match[1].decode().lower(), match[2].decode("latin-1")


def _take_body(response: Response, data: bytes) -> bytes:
    """Move the body from the start of `data` to the response, and return the rest."""
    length, coding = response.header("content-length"), response.header("transfer-encoding")
    assert not (length and coding), "a response with both Content-Length and Transfer-Encoding"
    if response.status in WITHOUT_BODY or response.id.startswith("head"):
        return data
    if coding:
        assert coding == "chunked"
        response.in_chunks = True
        return _take_chunks(response, data)
    if not length:
        response.until_the_end = True
        response.body = data
        return b""
    assert length.isdecimal()
    assert len(data) >= int(length), "the body ends too early"
    response.body = data[: int(length)]
    return data[int(length) :]


def _take_chunks(response: Response, data: bytes) -> bytes:
    size = -1
    while size:
        line, end, data = data.partition(b"\r\n")
        assert end, "the chunked body ends too early"
        assert CHUNK_SIZE.fullmatch(line)
        size = int(line, 16)
        response.body += data[:size]
        assert data[size : size + 2] == b"\r\n"
        data = data[size + 2 :]
    return data
