"""The cases of all tables."""

from tests.http1 import chunks, connections, framing, header_lines, old_versions, request_lines

CASES = [
    *request_lines.CASES,
    *old_versions.CASES,
    *header_lines.CASES,
    *framing.CASES,
    *chunks.CASES,
    *connections.CASES,
]
