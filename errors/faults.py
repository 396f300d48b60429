"""Describe what is wrong with the input of a request, in sentences for people."""

import re
from collections.abc import Sequence
from typing import NamedTuple

MAX_ERRORS = 20  # in one response
MAX_DETAIL = 300  # characters of `detail`, unless its first sentence is longer
MORE = "There are more errors."

# A text that begins with one of these verbs continues a sentence that begins with the field's name.
# Any other text is a whole sentence.
_VERB = re.compile(
    r"(must|mustn't|should|may|can|cannot|can't|is|isn't|was|wasn't|will|won't|has|hasn't|have|"
    r"haven't|does|doesn't|needs|contains)\b"
)
# A response repeats a name that the client made up only if the name has this form.
NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
# The form of field names, and of aliases such as `filter[status]`. A response shows the keys of a
# dictionary, and pydantic's names for the parts of a union (such as `int`), only in this form.
_FIELD = re.compile(r"[A-Za-z0-9_.$@\[\]-]{1,40}")


class Fault(NamedTuple):
    """One thing that is wrong. `text` is a sentence without its subject, or a whole sentence.

    `field` says where it is: `body.title`, `query.limit`, or the whole `body` or `request`.
    """

    field: str
    text: str

    @property
    def sentence(self) -> str:
        """`text` as a whole sentence."""
        text = f"{self._subject} {self.text}" if _VERB.match(self.text) else self.text
        return text if text.endswith((".", "!", "?")) else f"{text}."

    @property
    def _subject(self) -> str:
        """The field's name as the client wrote it."""
        source, _, name = self.field.partition(".")
        if not name:
            return f"The {source}"
        return self.field if name[0].isdigit() else name


def field_name(location: Sequence[int | str]) -> str:
    """Return the name of a field, without the parts of `location` that don't look like a name."""
    return ".".join(str(part) for part in location if _FIELD.fullmatch(str(part)))


def detail_of(faults: Sequence[Fault]) -> str:
    """Return the sentences of the first MAX_ERRORS faults, up to MAX_DETAIL characters."""
    detail = ""
    for fault in faults[:MAX_ERRORS]:
        longer = f"{detail} {fault.sentence}".lstrip()
        if detail and len(longer) + len(MORE) >= MAX_DETAIL:
            return f"{detail} {MORE}"
        detail = longer
    return f"{detail} {MORE}" if len(faults) > MAX_ERRORS else detail
