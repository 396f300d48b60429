"""Refuse wrong arguments of a tool, in sentences that tell an assistant how to correct them."""

from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.types import CallToolResult, InputRequiredResult, Tool
from pydantic import ValidationError

NUMBER = "must be a whole number"
# The text that follows the name of an argument, by the type of pydantic's error.
TEXTS = {
    "missing": "is required",
    "string_type": "must be a string",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must not be blank",
    "string_too_long": "must have at most {max_length} characters",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), NUMBER),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
}


class StrictServer(MCPServer[Any]):
    """A server that refuses unknown arguments, and does not repeat invalid ones.

    The SDK ignores unknown arguments: an assistant that passes `completed` to `update_task` would
    believe that it has completed the task. The SDK's text about an invalid argument contains its
    value and a link to pydantic.
    """

    async def list_tools(self) -> list[Tool]:
        """Return all tools. Their schemas allow no other arguments."""
        tools = await super().list_tools()
        for tool in tools:
            tool.input_schema = {**tool.input_schema, "additionalProperties": False}
        return tools

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool. Raises ToolError if an argument is wrong."""
        for tool in await self.list_tools():
            known = tool.input_schema["properties"]
            if tool.name == name and not arguments.keys() <= known.keys():
                raise ToolError(_unknown(sorted(arguments.keys() - known.keys()), list(known)))
        try:
            return await super().call_tool(name, arguments, context)
        except UnexpectedToolError:
            raise
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                raise ToolError(_sentences(error.__cause__)) from error.__cause__
            raise


def _unknown(names: list[str], known: list[str]) -> str:
    arguments = f"the arguments are {', '.join(known)}" if known else "there are no arguments"
    named = ", ".join(name for name in names if name.isidentifier() and len(name) <= 40)
    return f"Unknown argument{f': {named}' if named else ''}; {arguments}."


def _sentences(invalid: ValidationError) -> str:
    return " ".join(
        f"{error['loc'][0]} {_text(error['type'], error.get('ctx', {}))}."
        for error in invalid.errors(include_url=False, include_input=False)
    )


def _text(kind: str, values: dict[str, Any]) -> str:
    return TEXTS.get(kind, "is not valid").format(**values)
