"""IP addresses and host names, in the form that the settings use."""

import re
from ipaddress import IPv6Address, ip_address


def is_host(text: str) -> bool:
    """Return whether `text` is an IP address, a name, or empty."""
    try:
        ip_address(text)
    except ValueError:
        return re.fullmatch(r"[A-Za-z0-9._-]*", text) is not None
    return True


def is_loopback(host: str) -> bool:
    """Return whether `host`, an IP address or a name, can be reached from this machine only."""
    try:
        ip = ip_address(host.partition("%")[0])
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return (mapped or ip).is_loopback


def unmapped(address: tuple[str, int] | None) -> tuple[str, int] | None:
    """Return `address`, converted to IPv4 if it is an IPv4-mapped IPv6 address (::ffff:…).

    A socket for both IPv6 and IPv4 reports IPv4 addresses in that form.
    """
    if address is None or not address[0].startswith("::ffff:"):
        return address
    return address[0].removeprefix("::ffff:"), address[1]
