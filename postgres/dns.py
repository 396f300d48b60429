"""Resolve host names without blocking the event loop.

Unless `hostaddr` is set, libpq resolves the host itself, which blocks
(https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PQCONNECTSTARTPARAMS).
"""

from collections.abc import Mapping
from typing import Any

import psycopg2

from addresses import look_up


async def addresses(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return libpq's `host`, `hostaddr` and `port` for all addresses of the hosts in `parameters`.

    Each address is paired with its host name, which TLS verifies. Raises psycopg2.OperationalError
    if no host has an address.
    """
    hosts = str(parameters.get("host") or "").split(",")
    if "hostaddr" in parameters or not any(_is_name(host) for host in hosts):
        return {}
    ports = str(parameters.get("port") or "").split(",")
    found = [
        (host, address, ports[number if len(ports) > 1 else 0])
        for number, host in enumerate(hosts)
        for address in (await look_up(host) if _is_name(host) else [""])
    ]
    if not found:
        raise psycopg2.OperationalError(f'the host "{", ".join(hosts)}" has no address')
    names = ("host", "hostaddr", "port")
    return dict(zip(names, map(",".join, zip(*found, strict=True)), strict=True))


def _is_name(host: str) -> bool:
    """Return whether `host` has addresses, unlike a folder of Unix sockets."""
    return host != "" and not host.startswith(("/", "@"))
