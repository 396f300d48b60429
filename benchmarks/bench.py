"""The options, the server, the contenders and their databases, which all sections share."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import contenders
import load
from contenders import Contender
from instance import Instance
from population import Population, token
from postgres_server import Server

CLOSED_LOOP_USERS = 500
OPEN_LOOP_USERS = 1000


@dataclass(frozen=True)
class Options:
    """How much to measure."""

    rounds: int
    seconds: float  # of one run of wrk
    population: Population
    starts: int  # of each contender, whose time is measured
    open_loop_seconds: float
    growth_rounds: int


@dataclass
class Bench:
    """One benchmark run."""

    options: Options
    server: Server
    work: Path
    contenders: dict[str, Contender]
    secret: str
    results: dict[str, dict[str, object]] = field(default_factory=dict)

    def users(self, count: int) -> Path:
        """Return a file with the tokens of `count` users."""
        path = self.work / f"users-{count}"
        if not path.exists():
            self.options.population.write_tokens(path, count, self.secret)
        return path

    def prepare(self, contender: Contender, database: str, *populations: Population) -> None:
        """Create, migrate and fill a database for the contender."""
        say(f"{contender.title}: filling the database {database}")
        self.server.execute("postgres", f'CREATE DATABASE "{database}"')
        if contender.schema:
            self.server.execute(database, contender.schema.read_text())
        contenders.migrate(contender, self.environment(contender, database))
        self.server.seed(database, *populations)

    def environment(
        self, contender: Contender, database: str, extra: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Return the contender's environment variables for a database."""
        url = self.server.url(database)
        return contenders.environment(contender, url, self.secret) | dict(extra or {})

    def instance(
        self, contender: Contender, database: str = "", extra: Mapping[str, str] | None = None
    ) -> Instance:
        """Return a process of the contender, which runs until the context ends."""
        database = database or contender.name
        return Instance(contender, self.environment(contender, database, extra), database)

    def subject(self, instance: Instance) -> load.Subject:
        """Return the instance as a subject of load."""
        return load.Subject(
            port=instance.port,
            service=instance.process.pid,
            postgres=self.server.pid,
            users=self.users(CLOSED_LOOP_USERS),
            population=self.options.population,
        )

    def serves(self, instance: Instance, timeout: float) -> bool:
        """Return whether the instance responds to a user within `timeout` seconds."""
        user = self.options.population.user_id(1)
        path = f"/api/{user}/tasks?limit=10"
        return instance.answers(timeout, path, token(user, self.secret))


def say(line: str) -> None:
    """Print progress on stderr."""
    print(line, file=sys.stderr, flush=True)
