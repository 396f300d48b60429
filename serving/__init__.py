"""HTTP/1.1 on a connection: what uvicorn's server calls for each client that connects.

`protocol.py` is one connection, `head.py` reads the head of a request, `body.py` its body, and
`exchange.py` carries one request and its response to and from the ASGI application.
"""
