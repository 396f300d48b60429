"""An MCP server: AI assistants work with a user's tasks through the REST API.

It is a separate program, which imports nothing from the service. `python -m mcp_server` speaks MCP
on stdin and stdout for one user. `python -m mcp_server http` speaks MCP over HTTP for every user
who sends a token. docs/assistants.md explains how to connect assistants to it.
"""
