"""A simulated network between two sides, with settings for delay, loss, bandwidth and outages."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Self

from config import ROOT
from tests.network.interface import enter
from tests.network.relay import ADDRESSES, Conditions, Counts

SERVICE_ADDRESS, DATABASE_ADDRESS = ADDRESSES
HERE = Path("/proc/thread-self/ns/net")
Side = Literal["service", "database"]


def missing() -> str | None:
    """Return what this machine lacks for a `Link`, as a sentence, or None."""
    if sys.platform != "linux":
        return "A simulated network needs Linux."
    if os.geteuid() != 0:
        return "A simulated network needs root, because it makes network namespaces."
    try:
        with Link():
            return None
    except OSError as error:
        return f"A simulated network can't be made here: {error}"


class Link:
    """The network, which exists while this context is open.

    `inside` moves the calling thread to one side. Threads and processes that it starts there stay
    there. `set` changes the network while it runs.
    """

    def __enter__(self) -> Self:
        self._relay = subprocess.Popen(
            [sys.executable, "-m", "tests.network.relay"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
        assert self._relay.stdout is not None
        line = self._relay.stdout.readline()
        if not line:
            _, errors = self._relay.communicate()
            raise OSError(errors.splitlines()[-1])
        self.pid, *descriptors = json.loads(line)
        paths = [Path(f"/proc/{self.pid}/fd/{descriptor}") for descriptor in descriptors]
        self._namespaces = dict(zip(("service", "database"), paths, strict=True))
        return self

    def __exit__(self, *_: object) -> None:
        self._relay.communicate(timeout=10)  # this closes stdin

    def set(self, **conditions: Any) -> Counts:
        """Set the `Conditions` of the network, and return the counts since the last call."""
        assert self._relay.stdin is not None
        assert self._relay.stdout is not None
        self._relay.stdin.write(json.dumps(asdict(Conditions(**conditions))) + "\n")
        self._relay.stdin.flush()
        return Counts(**json.loads(self._relay.stdout.readline()))

    @contextmanager
    def inside(self, side: Side) -> Iterator[None]:
        """Move this thread, and whatever it starts, to one side of the network."""
        with HERE.open() as here, self._namespaces[side].open() as there:
            enter(there.fileno())
            try:
                yield
            finally:
                enter(here.fileno())
