"""The program that simulates a network between two namespaces. `tests/network/link.py` starts it.

Many machines, mostly small virtual ones, lack the kernel's own simulation of delay and loss
(netem). So each namespace has a tun device (https://docs.kernel.org/networking/tuntap.html). This
program reads the packets of both devices, holds each packet for as long as the network would take,
and writes it to the other device. The namespaces have no name: they disappear with this program and
the processes in them, so nothing is left behind, even after SIGKILL.

The program first prints its process id and its file descriptors of the two namespaces. For each
line of stdin, a JSON object of `Conditions`, it prints the `Counts` since the previous line and
applies the conditions. It ends at the end of stdin.
"""

import json
import os
import random
import select
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass

from tests.network.interface import interface

ADDRESSES = ("10.99.0.1", "10.99.0.2")  # of the service's side, of the database's side
LONGEST_WAIT = (
    0.2  # seconds in the queue before the bottleneck; a packet that would wait longer is lost
)
BATCH = 64  # packets to read from one device before reading the other
MAX_PACKET = 65_536  # bytes
LATE = 1.0  # milliseconds after which a packet counts as late

IPV4 = 4
SYN, SYN_OR_ACK = 0x02, 0x12  # TCP flags


@dataclass
class Conditions:
    """The settings of the network."""

    round_trip: float = 0  # milliseconds
    jitter: float = 0  # at most this many more ms in each direction; packets keep their order
    loss: float = 0  # per cent of the packets of each direction
    bandwidth: float = 0  # Mbit/s in each direction, 0 for no limit
    reaches_database: bool = True  # False: a black hole in this direction
    reaches_service: bool = True
    forgets_connections: bool = False  # True: only connections that are opened from now on work


@dataclass
class Counts:
    """Counts of packets."""

    delivered: int = 0
    lost: int = 0
    late: int = 0  # delivered more than LATE after they were due, because the machine was busy
    cpu_seconds: float = 0  # of this program, with the kernel's work on the packets it writes


class Direction:
    """The packets in flight to one device, in the order of their arrival there."""

    def __init__(self, device: int) -> None:
        self._device = device
        self._packets: deque[tuple[float, bytes]] = deque()
        self._bottleneck_free_at = 0.0
        self._last_arrival = 0.0

    def add(self, packet: bytes, now: float, conditions: Conditions) -> bool:
        """Schedule the delivery of a packet. Return False if the network loses it."""
        if conditions.loss and random.random() * 100 < conditions.loss:
            return False
        arrival = now + conditions.round_trip / 2e3
        if conditions.bandwidth:
            wait = max(self._bottleneck_free_at - now, 0)
            if wait > LONGEST_WAIT:
                return False
            transmission = len(packet) * 8e-6 / conditions.bandwidth
            self._bottleneck_free_at = now + wait + transmission
            arrival += wait + transmission
        if conditions.jitter:
            arrival += random.random() * conditions.jitter / 1e3
        self._last_arrival = max(arrival, self._last_arrival)
        self._packets.append((self._last_arrival, packet))
        return True

    def deliver(self, now: float, counts: Counts) -> float | None:
        """Write the packets that are due, and return the time at which the next one is due."""
        while self._packets:
            arrival, packet = self._packets[0]
            if arrival > now:
                return arrival
            self._packets.popleft()
            os.write(self._device, packet)
            counts.delivered += 1
            counts.late += now - arrival > LATE / 1e3
        return None


class Relay:
    """The network: two devices, the packets in flight, and the conditions."""

    def __init__(self, service: int, database: int) -> None:
        self._devices = (service, database)
        self._towards = {service: Direction(database), database: Direction(service)}
        self._database = database
        self._new_connections: set[bytes] = set()
        self.conditions = Conditions()
        self.counts = Counts()

    def run(self) -> None:
        """Relay packets until stdin ends."""
        while True:
            now = time.monotonic()
            due = [each.deliver(now, self.counts) for each in self._towards.values()]
            next_due = min((moment for moment in due if moment is not None), default=now + 10)
            wait = max(next_due - time.monotonic(), 0)
            ready, _, _ = select.select([*self._devices, sys.stdin], [], [], wait)
            for device in self._devices:
                if device in ready:
                    self._read(device)
            if sys.stdin in ready and not self._obey(sys.stdin.readline()):
                return

    def _read(self, device: int) -> None:
        now = time.monotonic()
        with suppress(BlockingIOError):
            for _ in range(BATCH):
                packet = os.read(device, MAX_PACKET)
                if packet[0] >> 4 == IPV4:  # IPv6 packets are only the kernel's search for routers
                    self.counts.lost += not self._take(device, packet, now)

    def _take(self, device: int, packet: bytes, now: float) -> bool:
        """Relay a packet that was read from `device`. Return False if the network loses it."""
        conditions, from_database = self.conditions, device == self._database
        arrives = conditions.reaches_service if from_database else conditions.reaches_database
        if conditions.forgets_connections and not self._is_of_new_connection(packet, from_database):
            return False
        return arrives and self._towards[device].add(packet, now, conditions)

    def _is_of_new_connection(self, packet: bytes, from_database: bool) -> bool:
        """Return whether the packet's connection is new. The IP header is the first 20 bytes."""
        source, target, flags = packet[20:22], packet[22:24], packet[33:34]
        ports = target + source if from_database else source + target
        if flags and flags[0] & SYN_OR_ACK == SYN:
            self._new_connections.add(ports)
        return ports in self._new_connections

    def _obey(self, line: str) -> bool:
        """Print the counts and apply new conditions. Return False at the end of stdin."""
        if not line:
            return False
        self.counts.cpu_seconds = time.process_time()
        _say(asdict(self.counts))
        self.counts = Counts()
        self.conditions = Conditions(**json.loads(line))
        self._new_connections.clear()
        return True


def _say(value: object) -> None:
    print(json.dumps(value), flush=True)  # noqa: T201


def main() -> None:
    """Make the namespaces, print their file descriptors, and relay packets."""
    devices, namespaces = [], []
    for address in ADDRESSES:
        devices.append(interface(address))
        namespaces.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))
    with suppress(PermissionError):  # real-time priority keeps the relay punctual on a busy machine
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    _say([os.getpid(), *namespaces])
    Relay(*devices).run()


if __name__ == "__main__":
    main()
