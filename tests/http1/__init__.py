"""HTTP/1.1 as it goes over the wire: what the service reads as a request, and what it refuses.

The rule: a client gets exactly one final response for each request that it sent, and none for
anything else; what follows is parsed as RFC 9112 says, or the connection is closed.

- `wire.py` sends bytes in segments that a test names, `responses.py` reads what comes back.
- `request_lines.py`, `header_lines.py`, `framing.py`, `chunks.py` and `connections.py` are tables
  of cases (`cases.py`); `judge.py` compares a response with them.
- `reference.py` is h11, which reads the same bytes, and the list of where we differ from it.
- `generator.py` composes streams from a seed.
- `nginx.py` is a proxy that reuses its connections for all of its clients.
"""
