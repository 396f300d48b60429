"""IP addresses and names of hosts, in the form that the settings use."""

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
    """Return whether `host`, an IP address or a name, is sure to be this machine alone."""
    try:
        ip = ip_address(host.partition("%")[0])
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return (mapped or ip).is_loopback


def unmapped(address: tuple[str, int] | None) -> tuple[str, int] | None:
    """Return `address` in IPv4 if it is one that a socket for IPv6 and IPv4 shows as ::ffff:…."""
    if address is None or not address[0].startswith("::ffff:"):
        return address
    return address[0].removeprefix("::ffff:"), address[1]
