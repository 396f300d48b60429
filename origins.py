"""URLs and the allowed origins of pages, in the form that the settings use."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

# No user, query or fragment, because an issuer has none, and no character that could end a line.
_FORM = re.compile(
    r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?(/[a-z0-9._~!$&'()*+,;=:@%/-]*)?",
    re.ASCII | re.IGNORECASE,
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
# The origin of a page in an app or in a browser extension. Browsers keep the case of its host.
_APP_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[A-Za-z0-9._~-]+(?::[1-9][0-9]{0,4})?")
_NOT_OF_PAGES = ("file", "ftp", "ws", "wss")
# The last label begins with a letter, so that an IP address does not match.
_PATTERN = re.compile(
    r"https?://(?P<label>[a-z0-9-]*\*[a-z0-9-]*)"
    r"\.(?P<parent>(?:[a-z0-9_-]+\.)+[a-z][a-z0-9-]*)(?::[0-9]{1,5})?"
)
_ANY_TEXT = "[a-z0-9-]{1,63}"  # RFC 1035, section 2.3.4: a label has 63 characters at most
_ANY_LOCAL_PORT = r"http://(?:localhost|127\.0\.0\.1)(?::[1-9][0-9]{0,4})?"
# Domains below which anybody can get a host. https://publicsuffix.org lists all of them. These are
# the ones that usually host frontends and their previews, and registries with two labels.
_SHARED = re.compile(
    r"(expo|framer|lovable|netlify|ngrok|ngrok-free|ondigitalocean|replit|streamlit)\.app"
    r"|(up\.railway|vercel|web)\.app"
    r"|(app\.github|deno|fly|ngrok|ngrok-free|pages|replit|workers)\.dev"
    r"|(github|gitlab|ngrok|stackblitz|webcontainer)\.io"
    r"|(amplifyapp|appspot|firebaseapp|herokuapp|onrender|trycloudflare)\.com"
    r"|cloudfront\.net|glitch\.me|hf\.space|supabase\.co|(now|surge)\.sh|loca\.lt"
    r"|(.+\.)?(azurestaticapps\.net|azurewebsites\.net|gitpod\.io|run\.app)"
    r"|(ac|co|com|edu|go|gov|ltd|me|ne|net|or|org)\.[a-z]{2}"
)
_LOOPBACK = re.compile(r"localhost|.+\.localhost|127\.\d+\.\d+\.\d+|::1", re.ASCII)


def origin_of(url: str) -> str:
    """Return the origin of `url` as a browser writes it: in lower case, without the default port.

    See https://url.spec.whatwg.org/#concept-url-origin. Raises ValueError with a message that
    contains no part of `url`.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        if not _FORM.fullmatch(url) or port == 0:
            raise ValueError
    except ValueError:  # urlsplit and `port` raise it too
        raise ValueError(
            "must be an address such as https://app.example.com, without user, query or fragment"
        ) from None
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc.rstrip(":")
    suffix = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host.lower()}{suffix}"


def is_origin(text: str) -> bool:
    """Return whether `text` is the origin of a page, written as a browser sends it."""
    scheme = text.partition("://")[0]
    if scheme not in _DEFAULT_PORTS:
        return scheme not in _NOT_OF_PAGES and bool(_APP_ORIGIN.fullmatch(text))
    try:
        return origin_of(text) == text and "//." not in text and ".." not in text
    except ValueError:
        return False


def is_pattern(text: str) -> bool:
    """Return whether `text` is an origin with one `*` in the first label of its host.

    The label must have other characters too, and at least two more labels must follow. A label that
    is only `*` would allow every host of a domain, including those that other people run. If the
    `*` were in one of the last two labels, anybody could register a host that matches.
    """
    form = _PATTERN.fullmatch(text)
    return (
        form is not None and form["label"].strip("-") != "*" and is_origin(text.replace("*", "x"))
    )


def pattern_of_origins(allowed: Iterable[str], *, any_local_port: bool) -> str | None:
    """Return a regular expression that fully matches the origins of the patterns in `allowed`.

    `any_local_port` adds every port of http://localhost and http://127.0.0.1. Return None if there
    are no such origins.
    """
    patterns = [re.escape(text).replace(r"\*", _ANY_TEXT) for text in allowed if "*" in text]
    return "|".join([*patterns, *[_ANY_LOCAL_PORT] * any_local_port]) or None


def is_open_to_strangers(text: str) -> bool:
    """Return whether anybody can get a host that the pattern `text` matches, judged by _SHARED."""
    form = _PATTERN.fullmatch(text)
    return form is not None and bool(_SHARED.fullmatch(form["parent"]))


def is_private(url: str) -> bool:
    """Return whether data from `url` is safe in transit: it uses TLS, or stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or bool(_LOOPBACK.fullmatch(parts.hostname or ""))
