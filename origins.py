"""Web addresses, in the form that the settings use."""

import re
from urllib.parse import urlsplit

# No user, query or fragment, because an issuer has none, and nothing that could end a line.
_FORM = re.compile(
    r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?(/[a-z0-9._~!$&'()*+,;=:@%/-]*)?",
    re.ASCII | re.IGNORECASE,
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOOPBACK = re.compile(r"localhost|.+\.localhost|127\.\d+\.\d+\.\d+|::1", re.ASCII)


def origin_of(url: str) -> str:
    """Return the origin of `url` as a browser writes it: in lower case, without the default port.

    See https://url.spec.whatwg.org/#concept-url-origin. Raises ValueError. Its text never contains
    any part of `url`.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        if not _FORM.fullmatch(url) or port == 0:
            raise ValueError
    except ValueError:  # urlsplit raises its own
        raise ValueError(
            "must be an address such as https://app.example.com, without user, query or fragment"
        ) from None
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc.rstrip(":")
    suffix = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host.lower()}{suffix}"


def is_origin(text: str) -> bool:
    """Return whether `text` is an origin, written as a browser sends it."""
    try:
        return origin_of(text) == text
    except ValueError:
        return False


def is_private(url: str) -> bool:
    """Return whether data from `url` can't be changed in transit: TLS, or the same machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or bool(_LOOPBACK.fullmatch(parts.hostname or ""))
