"""The network, Postgres on its far side, and the service, which all sections share."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import process
import trustme
from bench import OPEN_LOOP_USERS, Bench
from contenders import ROOT, Contender
from instance import Instance
from open_loop_sections import PERIOD, PROGRAM
from postgres_server import SETTINGS, Server

sys.path.append(str(ROOT))

from tests.network.link import DATABASE_ADDRESS, Link
from tests.network.relay import Counts

DATABASE = "service"
TLS_ONLY = "local all all reject\nhostssl all all all scram-sha-256\n"


class RemoteServer(Server):
    """Postgres on the far side. Like Neon, it accepts only TLS with passwords (SCRAM)."""

    def _create(self) -> None:
        super()._create()
        certificate = trustme.CA().issue_cert(DATABASE_ADDRESS)
        files = {
            "certificate.pem": certificate.cert_chain_pems[0].bytes(),
            "key.pem": certificate.private_key_pem.bytes(),
            "hba.conf": TLS_ONLY.encode(),
        }
        for name, content in files.items():
            path = self.folder / name
            path.write_bytes(content)
            path.chmod(0o600)
            if self.owner:
                shutil.chown(path, self.owner)
        self.settings = SETTINGS | {
            "listen_addresses": DATABASE_ADDRESS,
            "ssl": "on",
            "ssl_cert_file": str(self.folder / "certificate.pem"),
            "ssl_key_file": str(self.folder / "key.pem"),
            "hba_file": str(self.folder / "hba.conf"),
        }

    def url(self, database: str) -> str:
        """Return the connection string of a database, which works on both sides."""
        local = super().url(database)
        return f"{local.replace('@127.0.0.1', f'@{DATABASE_ADDRESS}')}?sslmode=require"


@dataclass
class NetworkBench:
    """A benchmark over a network. The thread that uses it is in the service's namespace."""

    bench: Bench
    contender: Contender
    link: Link
    settings: Mapping[str, str]  # of the service, in all sections, which differ from the defaults
    networks: list[str]  # names in network_load.NETWORKS

    @contextmanager
    def service(self, **settings: str) -> Iterator[Instance]:
        """Start a service with the default settings and these, and wait for its first response."""
        names = ("PATH", "HOME", "LANG", "DATABASE_URL", "BETTER_AUTH_SECRET", "ENVIRONMENT")
        everything = self.bench.environment(self.contender, DATABASE)
        needed = {name: everything[name] for name in names if name in everything}
        environment = needed | {"HOST": "127.0.0.1"} | dict(self.settings) | settings
        self.link.set()
        with Instance(self.contender, environment, DATABASE) as instance:
            self.bench.serves(instance, timeout=5)
            yield instance

    @contextmanager
    def users(self, instance: Instance, seconds: float) -> Iterator[subprocess.Popen[str]]:
        """Start 1,000 users who each send a request every 2 s."""
        population = self.bench.options.population
        options = {
            "port": instance.port,
            "users": self.bench.users(OPEN_LOOP_USERS),
            "tasks": population.tasks,
            "stride": population.users,
            "period": PERIOD,
            "seconds": seconds,
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        command = [sys.executable, str(PROGRAM), *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as users:
            try:
                yield users
            finally:
                users.kill()


def busy_elsewhere() -> float:
    """Return the CPU seconds of all other programs on the machine."""
    return process.busy_seconds() - process.cpu_seconds(os.getpid())


def result_of(users: subprocess.Popen[str]) -> Any:
    """Wait for the users, and return their figures."""
    output, _ = users.communicate()
    return json.loads(output)


def of_network(counts: Counts) -> dict[str, float]:
    """Return the figures of the network itself."""
    packets = counts.delivered + counts.lost
    late = counts.late / max(packets, 1) * 100
    return {"packets": packets, "lost": counts.lost, "late_percent": round(late, 2)}
