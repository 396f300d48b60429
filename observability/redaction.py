"""Remove tokens from texts for the log and for telemetry, however they are encoded."""

import re
from urllib.parse import unquote_to_bytes

REPLACEMENT = "<token>"
# A JWT begins with the base64url of `{"`. If its JSON begins otherwise, with white space for
# example, it is recognized by its three parts. They have at least these lengths in every valid
# token. The possessive quantifiers and the lookbehind keep the search linear.
_BEGINNING = r"eyJ"
_THREE_PARTS = r"(?<![\w-])[\w-]{16,}+\.[\w-]{16,}+\.[\w-]{32,}+"
TOKEN = re.compile(rf"(?:{_BEGINNING}|{_THREE_PARTS})[\w.~+=-]*+", re.ASCII)
# A token may contain line breaks and other characters that are not base64url. The part of the path
# that contains the token ends at the next slash.
TOKEN_IN_PATH = re.compile(rf"(?:{_BEGINNING}|{_THREE_PARTS})[^/]*+", re.ASCII)
MIN_LENGTH = 66  # characters of three such parts
ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
MAX_ROUNDS = 4  # of percent-encoding; some clients encode twice by mistake
MAX_EXCERPT = 200  # characters
UNUSUAL = re.compile(r"[^!-~]")  # everything except visible ASCII
MAX_PATH = 4096  # bytes; room for a user id of 255 characters in UTF-8 and percent signs


def redact(text: str, token: re.Pattern[str] = TOKEN) -> str:
    """Return `text` without its tokens, and decoded if a token in it is percent-encoded."""
    if "%" in text:
        decoded = _decoded(text)
        if decoded is None:
            return REPLACEMENT
        if holds_token(decoded):
            text = decoded
    return token.sub(REPLACEMENT, text) if holds_token(text) else text


def holds_token(text: str) -> bool:
    """Return whether `text` contains a token that is not percent-encoded."""
    if _BEGINNING in text:
        return True
    return len(text) >= MIN_LENGTH and text.count(".") >= 2 and TOKEN.search(text) is not None


def _decoded(text: str) -> str | None:
    """Return `text` without percent-encoding, or None if it is encoded more than MAX_ROUNDS times.

    The limit keeps the cost linear in the length of the text.
    """
    for _ in range(MAX_ROUNDS):
        if not ENCODED.search(text):
            return text
        text = unquote_to_bytes(text).decode(errors="replace")
    return None if ENCODED.search(text) else text


def excerpt(text: str) -> str:
    """Return the beginning of `text`, which a client chose, as one word that the log may show.

    Everything except visible ASCII is escaped, so that no space can look like the end of the text.
    """
    cut = text[:MAX_EXCERPT] + "..." if len(text) > MAX_EXCERPT else text
    return UNUSUAL.sub(lambda match: ascii(match[0])[1:-1].replace(" ", "\\x20"), cut)


def shown_path(path: str) -> str:
    """Return `path` without its query, its tokens, and anything beyond MAX_PATH.

    The part that the limit cuts isn't shown, because the rest of a token might not look like one.
    """
    path = path.partition("?")[0]
    if len(path) > MAX_PATH:
        path = path[:MAX_PATH].rpartition("/")[0] + "/..."
    return redact(path, TOKEN_IN_PATH)
