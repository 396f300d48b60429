"""The path of a request as routes match it, computed once for all of them."""

import re
from typing import Any
from urllib.parse import unquote

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.types import Scope

# Bytes, without ROOT_PATH. The longest path of a task has about 3,100: a user id has up to 255
# characters, each may take four bytes, and each byte is written as `%` and two digits.
MAX_PATH = 8 * 1024

# Characters that would change what a pattern matches if they were decoded: a slash separates two
# parts, and `$` also matches before a newline at the end.
_SPECIAL = re.compile(r"%(2F|0A)", re.IGNORECASE)
_KEY = "path_to_match"


class TaskIdConvertor(StringConvertor):
    """The part of a path that is a task id: any text, because the operation reports a wrong id.

    `stats` is excluded, because it is the path of another operation. Otherwise a DELETE of it would
    be a deletion of a task instead of a 405.
    """

    regex = "(?!stats/?$)[^/]+"


register_url_convertor("task", TaskIdConvertor())


def path_to_match(scope: Scope) -> str | None:
    """Return the decoded path, or None if it is longer than the path of any route.

    `%2F` and `%0A` are each decoded to a lone surrogate, which `restored` converts back. This keeps
    a slash in a user id distinct from a separator (RFC 3986, section 2.2). In `scope["path"]`, the
    server has decoded both to the same character.
    """
    path: str = scope["path"]
    raw: bytes = scope.get("raw_path") or b""  # not every server sends one
    if len(raw or path) > MAX_PATH + len(scope.get("root_path", "")):
        return None
    if b"%" not in raw:
        return path
    source, escaped = scope.get(_KEY, ("", ""))
    if source is not path:
        escaped = _escaped(path, raw.decode("ascii", "replace"))
        scope[_KEY] = path, escaped
    return str(escaped)


def restored(value: str) -> str:
    """Return `value`, a part of a path from `path_to_match`, with its own slashes and newlines."""
    return value.translate(_CHARACTERS)


def restored_parts(parts: dict[str, Any]) -> dict[str, Any]:
    """Return path parameters with the slashes and newlines that `path_to_match` replaced."""
    return {
        name: restored(value) if isinstance(value, str) else value for name, value in parts.items()
    }


def _escaped(path: str, raw: str) -> str:
    if not _SPECIAL.search(raw):
        return path
    escaped = unquote(_SPECIAL.sub(lambda found: _SURROGATES[found[1].upper()], raw))
    # If middleware has set another path, match that one.
    return escaped if restored(escaped) == path else path


# UTF-8 can't encode surrogates, so a decoded path never contains them otherwise.
_SURROGATES = {"2F": "\udc2f", "0A": "\udc0a"}
_CHARACTERS = {0xDC2F: "/", 0xDC0A: "\n"}
