"""HTTP/1.1 on the wire: the bytes that the service reads as requests, and those that it refuses.

The rule: a client gets exactly one final response to each request, and no other response except one
refusal. The bytes after a request are parsed as RFC 9112 says, or the connection is closed.

- `wire.py` sends bytes in the segments that a test names, and `responses.py` parses the responses.
- `request_lines.py`, `header_lines.py`, `framing.py`, `chunks.py` and `connections.py` are tables
  of cases (`cases.py`); `judge.py` compares a response with them.
- `reference.py` reads the same bytes with h11; `differences.py` lists where the service differs.
- `generator.py` generates streams from a seed.
- `nginx.py` runs a proxy that reuses its connections for all of its clients.
"""
