"""The framing of a request's body (RFC 9112, sections 6 and 7).

httptools parses bodies too, but it treats trailers as headers. A `Content-Length` or `Connection`
trailer then changes how it parses the next request (docs/decisions/003-http-protocol.md).
"""

import re
from typing import Protocol

MAX_FRAMING = 64 * 1024  # bytes of a body that are not content: chunk sizes, extensions, trailers

MAX_CHUNK = 2**31 - 1  # bytes; no client of this service has larger ones, and some parsers overflow

# RFC 9112, section 7.1. 16 digits are 64 bits.
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t -~\x80-\xff]*)?\r\n")
CHUNK_SIZE_BEGIN = re.compile(rb"[0-9A-Fa-f]{1,16}(?:[ \t]*(?:;.*)?|\r\n?)", re.DOTALL)
TRAILER = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*)?\r\n")


class MalformedBody(Exception):
    """The framing of the body is invalid, so nothing after the body can be trusted."""


class Body(Protocol):
    """A body that arrives in parts."""

    complete: bool
    missing: int  # bytes that were declared and have not arrived

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the content in `data`, and the bytes after the end of the body.

        Raises MalformedBody.
        """


class SizedBody:
    """A body whose length was declared in `Content-Length`."""

    __slots__ = ("complete", "missing")

    def __init__(self, length: int) -> None:
        self.missing = length
        self.complete = length == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        content = data[: self.missing]
        self.missing -= len(content)
        self.complete = self.missing == 0
        return content, data[len(content) :]


class ChunkedBody:
    """A body in chunks. Extensions and trailers are read and dropped (RFC 9110, section 6.5.1)."""

    __slots__ = ("_framing", "_line", "_read_line", "complete", "missing")

    def __init__(self) -> None:
        self.complete = False
        self.missing = 0  # bytes of the current chunk
        self._framing = 0  # bytes so far that are not content
        self._line = bytearray()  # the current line, until it is complete
        # A function, because a bound method would be a reference cycle.
        self._read_line = ChunkedBody._read_size

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        content = []
        position = 0
        while position < len(data) and not self.complete:
            if self.missing:
                part = data[position : position + self.missing]
                content.append(part)
                self.missing -= len(part)
                position += len(part)
            else:
                position = self._collect_line(data, position)
        return b"".join(content), data[position:]

    def _collect_line(self, data: bytes, position: int) -> int:
        """Read the rest of a line, or as much of it as has arrived, and return where it ends."""
        end = data.find(b"\n", position) + 1 or len(data)
        self._framing += end - position
        if self._framing > MAX_FRAMING:
            raise MalformedBody("must have at most 64 KiB of chunk sizes, extensions and trailers")
        self._line += data[position:end]
        self._read_line(self, bytes(self._line) if self._line.endswith(b"\n") else None)
        return end

    def _read_size(self, line: bytes | None) -> None:
        if line is None:
            if CHUNK_SIZE_BEGIN.fullmatch(self._line[:32]) is None:
                raise MalformedBody("must have chunks that begin with their size")
            return
        match = CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise MalformedBody("must have chunks that begin with their size")
        self._line.clear()
        self.missing = int(match[1], 16)
        if self.missing > MAX_CHUNK:
            raise MalformedBody("must have chunks of less than 2 GiB")
        self._read_line = (
            ChunkedBody._read_end_of_chunk if self.missing else ChunkedBody._read_trailer
        )

    def _read_end_of_chunk(self, line: bytes | None) -> None:
        if not b"\r\n".startswith(self._line):
            raise MalformedBody("must have chunks of the size that they declare")
        if line is not None:
            self._line.clear()
            self._read_line = ChunkedBody._read_size

    def _read_trailer(self, line: bytes | None) -> None:
        if line is None:
            return
        if TRAILER.fullmatch(line) is None:
            raise MalformedBody("must have well-formed trailers")
        self._line.clear()
        self.complete = line == b"\r\n"
