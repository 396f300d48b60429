"""The request headers that the task routes read, except Authorization."""

import re
from collections.abc import Collection
from typing import Annotated

from fastapi import Header
from pydantic import PlainValidator, WithJsonSchema

from errors import ETagChangedByProxy, PreconditionFailed
from models import IDEMPOTENCY_KEY_LENGTH
from tasks.times import is_rfc3339

# RFC 9110, sections 8.8.3 (an entity tag) and 5.6.1 (a list may have empty elements).
ENTITY_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
# An entity tag that a compressing proxy has changed.
CHANGED_BY_PROXY = r'W/.*|"[^"]*-(?:gzip|br|zstd|deflate)"'
ENTITY_TAGS = rf"\*|[ \t,]*{ENTITY_TAG}(?:[ \t]*,[ \t,]*{ENTITY_TAG})*[ \t,]*"


def _entity_tags(value: str | list[str]) -> list[str]:
    # FastAPI passes the header's lines as a list, the fast path as one line (section 5.3).
    value = value if isinstance(value, str) else ", ".join(value)
    if not re.fullmatch(ENTITY_TAGS, value):
        raise ValueError('must be * or a list of entity tags, each in quotes: "…", "…"')
    return ["*"] if value == "*" else re.findall(ENTITY_TAG, value)


def _strong(value: str | list[str]) -> frozenset[str] | None:
    """Return the tags for a strong comparison (section 8.8.3.2), in which no weak tag equals ours.

    Return None for `*`, which only requires that the task exists and so adds no condition.
    """
    tags = _entity_tags(value)
    return None if tags == ["*"] else frozenset(tags)


def updated_at_in(if_match: Collection[str]) -> str:
    """Return the times in these entity tags as an array for Postgres, such as `{…,…}`.

    Tags in any format but the service's own are left out, because a strong comparison compares each
    character. Postgres would accept other formats of a time, and reject text that is not a time.
    """
    times = (tag[1:-1] for tag in if_match)
    return f"{{{','.join(time for time in times if is_rfc3339(time))}}}"


def precondition_failed(if_match: Collection[str]) -> PreconditionFailed:
    """Return the error for a task whose ETag is not in `if_match`.

    A compressing proxy makes an ETag weak (nginx) or adds a suffix to it (Apache's mod_deflate and
    mod_brotli: https://httpd.apache.org/docs/2.4/mod/mod_brotli.html#brotlialteretag). Such an ETag
    never matches, whether the task has changed or not.
    """
    is_changed = all(re.fullmatch(CHANGED_BY_PROXY, tag) for tag in if_match)
    return ETagChangedByProxy() if is_changed else PreconditionFailed()


def _weak(value: str | list[str]) -> frozenset[str]:
    """Return the tags for a weak comparison. `*` stays as it is."""
    return frozenset(tag.removeprefix("W/") for tag in _entity_tags(value))


def _schema(example: str) -> WithJsonSchema:
    """Return the schema of a list of tags. Postman sends `example`, so it must be a valid value."""
    pattern = f"^(?:{ENTITY_TAGS})$"
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


IfMatch = Annotated[
    Annotated[frozenset[str], PlainValidator(_strong), _schema("*")] | None,
    Header(
        alias="If-Match",
        description="Execute the request only if the task's `ETag` is one of these, that is, if "
        "the task has not changed since the client read it.",
    ),
]
IfNoneMatch = Annotated[
    Annotated[frozenset[str], PlainValidator(_weak), _schema('"2026-01-09T12:30:45.123456Z"')]
    | None,
    Header(
        alias="If-None-Match",
        description="Return 304 without a body if the task's `ETag` is one of these.",
    ),
]


def _key(value: str) -> str:
    if not re.fullmatch(f"[!-~]{{1,{IDEMPOTENCY_KEY_LENGTH}}}", value):
        raise ValueError(f"must be 1 to {IDEMPOTENCY_KEY_LENGTH} visible ASCII characters")
    return value


_KEY_SCHEMA = {
    "type": "string",
    "pattern": "^[!-~]+$",
    "maxLength": IDEMPOTENCY_KEY_LENGTH,
    "examples": ["{{$guid}}"],  # in Postman, a new UUID for every request
}

IdempotencyKey = Annotated[
    Annotated[str, PlainValidator(_key), WithJsonSchema(_KEY_SCHEMA)] | None,
    Header(
        alias="Idempotency-Key",
        description="A new key, such as a UUID, for each task to create, and the same key for each "
        "retry. The service keeps it for 24 hours.",
    ),
]
