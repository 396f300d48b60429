"""The closed loop: wrk keeps its connections busy, and CPU time is read before and after it."""

import json
import resource
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import process
from population import Population

SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True)
class Subject:
    """A subject of load: the service's port, the roots of the two process trees, the users."""

    port: int
    service: int
    postgres: int
    users: Path
    population: Population


@dataclass
class Run:
    """The figures of one run of wrk. CPU times are milliseconds for each successful request."""

    requests_per_second: float  # with a 2xx response
    p50_ms: float
    p95_ms: float
    p99_ms: float
    service_cpu_ms: float
    postgres_cpu_ms: float
    memory_mb: float  # resident, of the whole tree, at the end of the load
    generator_cores: float
    other_cores: float
    errors: dict[str, int] = field(default_factory=dict)


def wrk(subject: Subject, operation: str, connections: int, seconds: float, statuses: bool) -> Any:
    """Run wrk, and return what its script prints at its end."""
    options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
    population = subject.population
    arguments = [
        operation,
        subject.users,
        population.tasks,
        population.users,
        statuses * "statuses",
    ]
    command = ["wrk", *options, "--latency", "-s", str(SCRIPT), f"http://127.0.0.1:{subject.port}"]
    output = subprocess.run(
        [*command, "--", *map(str, arguments)], check=True, capture_output=True, text=True
    ).stdout
    return json.loads(output.splitlines()[-1])


def _clocks(subject: Subject) -> tuple[float, ...]:
    """Return the CPU seconds of the service, Postgres, wrk and the machine, and the time."""
    generator = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        process.cpu_seconds(subject.service),
        process.cpu_seconds(subject.postgres),
        generator.ru_utime + generator.ru_stime,
        process.busy_seconds(),
        time.perf_counter(),
    )


def _errors(response: Any) -> dict[str, int]:
    """Return the failures by status if statuses were counted, else by kind."""
    counted = {code: n for code, n in response["statuses"].items() if not code.startswith("2")}
    by_status = counted if response["statuses"] else {"not 2xx": response["not_2xx"]}
    kinds = {"socket": response["socket_errors"], "timeout": response["timeouts"]}
    return {name: count for name, count in (by_status | kinds).items() if count}


def run(
    subject: Subject, operation: str, connections: int, seconds: float, statuses: bool = False
) -> Run:
    """Put the service under load, and return the figures."""
    before = _clocks(subject)
    response = wrk(subject, operation, connections, seconds, statuses)
    service, postgres, generator, machine, wall = (
        after - start for after, start in zip(_clocks(subject), before, strict=True)
    )
    good = response["requests"] - response["not_2xx"]
    return Run(
        requests_per_second=good / response["microseconds"] * 1e6,
        p50_ms=response["p50"] / 1e3,
        p95_ms=response["p95"] / 1e3,
        p99_ms=response["p99"] / 1e3,
        service_cpu_ms=service / max(good, 1) * 1e3,
        postgres_cpu_ms=postgres / max(good, 1) * 1e3,
        memory_mb=process.memory(subject.service).rss_mb,
        generator_cores=generator / wall,
        other_cores=max(0.0, machine - service - postgres - generator) / wall,
        errors=_errors(response),
    )


def summary(runs: list[Run]) -> dict[str, Any]:
    """Return the medians of the rounds, and the maximum of what wrk and other programs used."""
    figures = [name for name in vars(runs[0]) if name != "errors"]
    result: dict[str, Any] = {
        name: round(median(getattr(each, name) for each in runs), 3) for name in figures
    }
    for name in ("generator_cores", "other_cores"):
        result[name] = round(max(getattr(each, name) for each in runs), 3)
    result["errors"] = total_errors([each.errors for each in runs])
    result["rounds"] = [round(each.requests_per_second, 1) for each in runs]
    return result


def total_errors(errors: list[dict[str, int]]) -> dict[str, int]:
    """Return the sums by kind."""
    kinds = sorted({kind for each in errors for kind in each})
    return {kind: sum(each.get(kind, 0) for each in errors) for kind in kinds}
