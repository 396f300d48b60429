"""The request headers that the task routes read, except the token's."""

import re
from typing import Annotated

from fastapi import Header
from pydantic import PlainValidator, WithJsonSchema

from models import IDEMPOTENCY_KEY_LENGTH

# RFC 9110, sections 8.8.3 (an entity tag) and 5.6.1 (a list may have empty elements).
ENTITY_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
ENTITY_TAGS = rf"\*|[ \t,]*{ENTITY_TAG}(?:[ \t]*,[ \t,]*{ENTITY_TAG})*[ \t,]*"


def _entity_tags(value: str | list[str]) -> list[str]:
    # FastAPI passes the header's lines as a list, the fast path as one line (section 5.3).
    value = value if isinstance(value, str) else ", ".join(value)
    if not re.fullmatch(ENTITY_TAGS, value):
        raise ValueError('must be * or a list of entity tags, each in quotes: "…", "…"')
    return ["*"] if value == "*" else re.findall(ENTITY_TAG, value)


def _strong(value: str | list[str]) -> frozenset[str] | None:
    """Return the tags for a strong comparison (section 8.8.3.2): a weak one never equals ours.

    `*` only requires that the task exists, so it adds no condition to an existing task.
    """
    tags = _entity_tags(value)
    return None if tags == ["*"] else frozenset(tags)


def _weak(value: str | list[str]) -> frozenset[str]:
    """Return the tags for a weak comparison. `*` stands for itself."""
    return frozenset(tag.removeprefix("W/") for tag in _entity_tags(value))


_SCHEMA = WithJsonSchema(
    {
        "type": "string",
        "pattern": f"^(?:{ENTITY_TAGS})$",
        "examples": ['"2026-01-09T12:30:45.123456Z"'],
    }
)

IfMatch = Annotated[
    Annotated[frozenset[str], PlainValidator(_strong), _SCHEMA] | None,
    Header(
        alias="If-Match",
        description="Do it only if the task's `ETag` is one of these, which is to say: if nobody "
        "has changed the task since it was read.",
    ),
]
IfNoneMatch = Annotated[
    Annotated[frozenset[str], PlainValidator(_weak), _SCHEMA] | None,
    Header(
        alias="If-None-Match",
        description="Answer 304 without a body if the task's `ETag` is one of these.",
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
    "examples": ["8e03978e-40d5-43e8-bc93-6894a57f9324"],
}

IdempotencyKey = Annotated[
    Annotated[str, PlainValidator(_key), WithJsonSchema(_KEY_SCHEMA)] | None,
    Header(
        alias="Idempotency-Key",
        description="A new one, such as a UUID, for every task that is to be created; the same one "
        "for every retry. It is kept for 24 hours.",
    ),
]
