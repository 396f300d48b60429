"""A network namespace with a tun device, made by system calls without an external program."""

import ctypes
import fcntl
import os
import socket
import struct

NAME = b"net"  # of the device
NETMASK = "255.255.255.0"
QUEUE = 10_000  # packets; enough that the device itself drops none

# From <sched.h>, <linux/if_tun.h>, <linux/if.h> and <linux/sockios.h>.
CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI, IFF_UP = 0x400454CA, 0x0001, 0x1000, 0x1
SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFTXQLEN = 0x8914, 0x8916, 0x891C, 0x8943


def interface(address: str) -> int:
    """Move this thread to a new namespace, and return a tun device there with this address.

    Raises OSError, usually because the process is not root.
    """
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", NAME, IFF_TUN | IFF_NO_PI))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:

        def configure(request: int, name: bytes, value: bytes) -> None:
            fcntl.ioctl(control, request, struct.pack("16s24s", name, value))

        configure(SIOCSIFADDR, NAME, _socket_address(address))
        configure(SIOCSIFNETMASK, NAME, _socket_address(NETMASK))
        configure(SIOCSIFTXQLEN, NAME, struct.pack("i", QUEUE))
        for name in (NAME, b"lo"):
            configure(SIOCSIFFLAGS, name, struct.pack("H", IFF_UP))
    return device


def enter(namespace: int) -> None:
    """Move this thread to the namespace of a file descriptor. Raises OSError if it can't."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _socket_address(address: str) -> bytes:
    return struct.pack("HH4s", socket.AF_INET, 0, socket.inet_aton(address))
