"""Bytes that have arrived and are not part of a body: a head, or pipelined requests."""

import re

import httptools

from errors import HeadersTooLarge
from serving.head import Head, parse_head, parse_request_line
from serving.headers import (
    INVALID_REQUEST_LINE,
    NEUTRAL_LINE,
    TOO_MANY_LINES,
    feed,
    first_lines,
    header_parser,
    malformed,
)

MAX_HEAD = 64 * 1024  # bytes, including the empty lines before it

EMPTY_LINES = re.compile(rb"(?:\r\n)*")
# A method of at most 32 characters. The rest of the line is checked when the line is complete.
METHOD_BEGIN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{0,32}(?: .*)?", re.DOTALL)


class RequestBuffer:
    """Bytes that wait to be parsed as the head of a request. The cost is linear in their number."""

    __slots__ = ("_data", "_probe", "_searched", "_skipped")

    def __init__(self) -> None:
        self._data = bytearray()
        self._searched = 0  # bytes of an incomplete head that were checked already
        self._skipped = 0  # bytes of empty lines before it, which RFC 9112, section 2.2, allows
        self._probe: HeadProbe | None = None

    def __len__(self) -> int:
        return len(self._data)

    def append(self, data: bytes) -> None:
        self._data += data

    def take_all(self) -> bytes:
        """Return the bytes, and empty the buffer."""
        data = bytes(self._data)
        self._data.clear()
        return data

    def take_head(self) -> Head | None:
        """Return the next head and remove it from the buffer, or return None if it is incomplete.

        Raises what `parse_head` raises.
        """
        self._skip_empty_lines()
        found = self._data.find(b"\r\n\r\n", max(0, self._searched - 3))
        end = len(self._data) if found < 0 else found + 4
        if end + self._skipped > MAX_HEAD:
            raise HeadersTooLarge
        if found < 0:
            self._check_new_bytes()
            return None
        head = parse_head(bytes(self._data[:end]))
        del self._data[:end]
        self._searched = self._skipped = 0
        self._probe = None
        return head

    def peek(self) -> bytes:
        """Return the bytes that have arrived of an invalid or incomplete head."""
        return bytes(self._data[:MAX_HEAD])

    def _skip_empty_lines(self) -> None:
        if self._data.startswith(b"\r\n"):
            match = EMPTY_LINES.match(bytes(self._data))
            assert match is not None
            self._skipped += match.end()
            del self._data[: match.end()]

    def _check_new_bytes(self) -> None:
        if self._data == b"\r" or not self._data:  # perhaps half of an empty line
            return
        if self._probe is None:
            self._probe = HeadProbe()
        self._probe.feed(self._data, self._searched)
        self._searched = len(self._data)


class HeadProbe:
    """A check of a head that is still arriving, so that an error can be sent without delay."""

    def __init__(self) -> None:
        self._lines = 0
        self._parser: httptools.HttpRequestParser | None = None

    def on_message_begin(self) -> None: ...  # httptools requires these two

    def on_message_complete(self) -> None: ...

    def feed(self, head: bytearray, start: int) -> None:
        """Check `head`, whose bytes from `start` on are new. Raises what `parse_head` raises."""
        if self._parser is not None:
            self._parse(bytes(head[start:]))
        elif head.find(b"\n", start) >= 0:
            *_, end = parse_request_line(bytes(head))
            self._parser = header_parser(self)
            self._parse(NEUTRAL_LINE + bytes(head[end:]))
        elif METHOD_BEGIN.fullmatch(head[:33]) is None:
            raise malformed(INVALID_REQUEST_LINE)

    def _parse(self, data: bytes) -> None:
        assert self._parser is not None
        allowed = TOO_MANY_LINES - self._lines
        lines = data.count(b"\n")
        if lines >= allowed:
            # Report an error in the lines before this limit first, however the head is split into
            # segments.
            feed(self._parser, first_lines(data + b" ", allowed))
            raise HeadersTooLarge
        feed(self._parser, data)
        self._lines += lines
