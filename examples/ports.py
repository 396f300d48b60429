"""Check that the ports are free before anything starts."""

import errno
import socket
import sys

LOOPBACK = (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6))  # localhost means both


def check(api: int, auth: int, frontend: int) -> None:
    """End the process with a message if a port is in use."""
    for option, port in (
        ("--api-port", api),
        ("--auth-port", auth),
        ("--frontend-port", frontend),
    ):
        if any(_is_in_use(port, address, family) for address, family in LOOPBACK):
            sys.exit(f"Port {port} is in use. Stop the program that uses it, or add {option} PORT.")


def _is_in_use(port: int, address: str, family: socket.AddressFamily) -> bool:
    try:
        socket.create_server((address, port), family=family).close()
    except OSError as error:
        return error.errno == errno.EADDRINUSE  # this machine may have no IPv6
    return False
