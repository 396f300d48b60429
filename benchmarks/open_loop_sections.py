"""Sections without wrk: the open loop and the start."""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from bench import OPEN_LOOP_USERS, Bench, say
from contenders import Contender

PROGRAM = Path(__file__).with_name("openloop.py")
PERIOD = 2  # seconds between two requests of a user


def open_loop(bench: Bench) -> dict[str, Any]:
    """Measure 1,000 users who each send a request every 2 s, by contender."""
    return {name: _open_loop(bench, each) for name, each in bench.contenders.items()}


def _open_loop(bench: Bench, contender: Contender) -> Any:
    population = bench.options.population
    with bench.instance(contender) as instance:
        bench.serves(instance, timeout=5)
        options = {
            "port": instance.port,
            "users": bench.users(OPEN_LOOP_USERS),
            "tasks": population.tasks,
            "stride": population.users,
            "period": PERIOD,
            "seconds": bench.options.open_loop_seconds,
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        response = json.loads(subprocess.check_output([sys.executable, str(PROGRAM), *arguments]))
    say(f"  {contender.name:15} p95 {response['p95_ms']:8.1f} ms, errors {response['errors']}")
    return response


def start(bench: Bench) -> dict[str, Any]:
    """Measure the seconds from exec to the first 200 of /health, by contender."""
    seconds: dict[str, list[float]] = {name: [] for name in bench.contenders}
    for _ in range(bench.options.starts):
        for name, contender in bench.contenders.items():
            with bench.instance(contender) as instance:
                seconds[name].append(instance.start_seconds)
    for name, values in seconds.items():
        say(f"  {name:15} {median(values):.2f} s")
    return {name: round(median(values), 3) for name, values in seconds.items()}
