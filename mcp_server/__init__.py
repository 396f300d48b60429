"""An MCP server: AI assistants work with a user's tasks through the REST API.

It is a program of its own and imports nothing of the service: `python -m mcp_server` speaks MCP
on stdin and stdout for one user, `python -m mcp_server http` over HTTP for every user who sends a
token. docs/assistants.md says how assistants are connected to it.
"""
