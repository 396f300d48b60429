"""A frontend to start from, its auth server, and the command that starts both with the service.

The command is `uv run -m examples` (`__main__.py`). It needs uv and Node.js. The service imports
nothing from this package.
"""
