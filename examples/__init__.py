"""A frontend to start from, its auth server, and the command that starts both with the service.

`uv run -m examples` is the command (`__main__.py`). It needs uv and Node.js. The service imports
nothing of this package.
"""
