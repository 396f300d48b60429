"""The service as PID 1 of a container, which adopts the container's orphans."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support.processes import Service, environment, free_port, sources, until
from tests.support.serving import SECRET

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="a PID namespace needs root on Linux"
    ),
]
ALONE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
# Each subshell ends at once, and leaves its child without a parent for a moment.
ORPHANS = "for n in 1 2 3 4 5; do (sleep 0.3 &) ; done"


class Container(Service):
    """A service that is PID 1 of a namespace."""

    @property
    def first(self) -> psutil.Process:
        [first] = psutil.Process(self.process.pid).children()
        return first

    def zombies(self) -> list[psutil.Process]:
        found = []
        for each in self.first.children():
            with suppress(psutil.NoSuchProcess):  # it has been reaped meanwhile
                found += [each] if each.status() == psutil.STATUS_ZOMBIE else []
        return found

    def make_orphans(self) -> None:
        """Leave five processes without parents, as a shell's health check may."""
        enter = ("nsenter", f"--target={self.first.pid}", "--pid", "--mount")
        subprocess.run([*enter, "sh", "-c", ORPHANS], check=True)


@pytest.fixture(params=[1, 3], ids=["one worker", "three workers"])
def container(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Container]:
    port = free_port()
    settings = {
        "environment": "production",
        "host": "127.0.0.1",
        "port": port,
        "database_url": "postgresql://u@127.0.0.1:9/d",
        "better_auth_secret": SECRET,
        "web_concurrency": request.param,
    }
    with (tmp_path / "output").open("w+") as output:
        process = subprocess.Popen(
            [*ALONE, sys.executable, "main.py"],
            cwd=sources(),
            env=environment(**settings),
            stdout=output,
            stderr=output,
            text=True,
        )
        try:
            yield Container(process, output, port, tmp_path)
        finally:
            process.kill()
            process.wait()


def test_orphans_are_reaped_and_not_taken_for_workers(container: Container) -> None:
    container.starts()
    container.make_orphans()
    until(lambda: len(container.first.children()) >= 5, "the orphans to be adopted")
    until(lambda: not container.zombies(), "the first ones to be reaped")
    until(
        lambda: not [c for c in container.first.children() if "sleep" in c.name()],
        "the orphans to end",
    )
    until(lambda: not container.zombies(), "all to be reaped", 5)
    assert "Worker" not in "\n".join(container.lines)
    container.first.send_signal(signal.SIGHUP)  # as a terminal sends when it closes
    assert container.process.wait(10) == 0
    assert "Traceback" not in "\n".join(container.lines)
