"""IP addresses and host names: the form that the settings use, and looking names up."""

import asyncio
import re
import socket
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from threading import Lock, Thread

# The names that are being looked up, and the calls that wait for each, on any event loop.
_lookups: dict[str, list[asyncio.Future[list[str]]]] = {}
_lock = Lock()  # for _lookups


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


async def look_up(host: str) -> list[str]:
    """Return the addresses of `host`, an address or a name. There are none if the lookup fails.

    A lookup can't be cancelled, and takes minutes if no DNS server responds. The event loops keep
    lookups in a queue and complete it before they close, so they would delay the exit. So each
    lookup has a daemon thread of its own, and concurrent calls for a name share it.
    """
    if found := _resolve(host, socket.AI_NUMERICHOST):  # it is an address
        return found
    waiter: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
    with _lock:
        if host not in _lookups:
            try:
                Thread(target=_look_up, args=(host,), name="DNS", daemon=True).start()
            except RuntimeError:  # there are too many threads
                return []
            _lookups[host] = []
        _lookups[host].append(waiter)
    return await waiter


def _look_up(host: str) -> None:
    """Look `host` up, and pass its addresses to all calls that wait for them."""
    found: list[str] = []
    try:
        found = _resolve(host)
    finally:  # also after an error such as MemoryError
        with _lock:
            waiters = _lookups.pop(host)
        for waiter in waiters:
            with suppress(RuntimeError):  # the event loop is closed
                waiter.get_loop().call_soon_threadsafe(_complete, waiter, found)


def _complete(waiter: asyncio.Future[list[str]], found: list[str]) -> None:
    if not waiter.done():  # the call may have been cancelled
        waiter.set_result(found)


def _resolve(host: str, flags: int = 0) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)
    except (OSError, ValueError):  # ValueError: no host can have this name
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
