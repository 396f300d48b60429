"""A running contender."""

import subprocess
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Self

import process
from contenders import Contender


@dataclass
class Instance:
    """A process tree of a contender, which runs until the context ends."""

    contender: Contender
    environment: dict[str, str]
    database: str
    port: int = 0
    start_seconds: float = 0  # from exec to the first 200 on /health

    def __enter__(self) -> Self:
        self.port = process.free_port()
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            [part.format(port=self.port) for part in self.contender.start],
            cwd=self.contender.folder, env=self.environment | {"PORT": str(self.port)},
            start_new_session=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            self._wait(begin + 30)
        except BaseException:
            self.__exit__()
            raise
        self.start_seconds = time.perf_counter() - begin
        return self

    def _wait(self, deadline: float) -> None:
        while not self.answers(timeout=10):
            if self.process.poll() is not None or time.perf_counter() > deadline:
                raise RuntimeError(
                    f"{self.contender.name} exited, or did not respond to /health within 30 s"
                )
            time.sleep(0.005)

    def __exit__(self, *_: object) -> None:
        process.stop(self.process)

    def restart(self) -> None:
        """Restart the process."""
        self.__exit__()
        self.__enter__()

    def answers(self, timeout: float, path: str = "/health", token: str = "") -> bool:
        """Return whether a request gets a 200 within `timeout` seconds."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
