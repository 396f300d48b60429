"""Sections with wrk: eight loads at 64 connections, 1,000 connections, memory, workers."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from statistics import median
from typing import Any

import load
import process
from bench import Bench, say
from contenders import Contender
from instance import Instance

OPERATIONS = ("get", "list", "search", "stats", "create", "update", "toggle", "mix")
FEW, MANY = 64, 1000  # connections
RECOVERY = 2.0  # seconds


def warm_up(bench: Bench, instance: Instance) -> None:
    """Put the instance under load for a second, to fill pools and compile code."""
    load.run(bench.subject(instance), "mix", FEW, 1)


def rotations(instances: list[Instance], rounds: int) -> Iterator[Instance]:
    """Yield each instance once a round. The order rotates, so that no instance is always first.

    A contender with fewer rounds takes part in the first ones.
    """
    for number in range(rounds):
        shift = number % len(instances)
        for instance in instances[shift:] + instances[:shift]:
            if number < (instance.contender.rounds or rounds):
                yield instance


def closed_loop(bench: Bench) -> dict[str, Any]:
    """Measure the eight loads, by operation and contender, in interleaved rounds."""
    with ExitStack() as stack:
        instances = [
            stack.enter_context(bench.instance(each)) for each in bench.contenders.values()
        ]
        for instance in instances:
            warm_up(bench, instance)
        return {operation: _operation(bench, instances, operation) for operation in OPERATIONS}


def _operation(bench: Bench, instances: list[Instance], operation: str) -> dict[str, Any]:
    runs: dict[str, list[load.Run]] = {each.contender.name: [] for each in instances}
    for each in instances:
        bench.server.execute(each.database, "VACUUM tasks")
    for instance in rotations(instances, bench.options.rounds):
        name = instance.contender.name
        if not bench.serves(instance, timeout=5):
            say(f"  {name} no longer responds and is restarted")
            instance.restart()
        runs[name].append(load.run(bench.subject(instance), operation, FEW, bench.options.seconds))
        say(f"  {operation:7} {name:15} {runs[name][-1].requests_per_second:8.0f} requests/s")
    return {name: load.summary(of_name) for name, of_name in runs.items()}


def thousand(bench: Bench) -> dict[str, Any]:
    """Measure 64 and 1,000 connections, and memory when idle and at both, by contender."""
    variants: list[tuple[str, Contender, Mapping[str, str]]] = [
        (name, contender, {}) for name, contender in bench.contenders.items()
    ]
    if "service" in bench.contenders and supports_workers(bench):
        variants.append(("service-2", bench.contenders["service"], workers(2)))
    return {name: _thousand(bench, name, each, extra) for name, each, extra in variants}


def _thousand(
    bench: Bench, name: str, contender: Contender, extra: Mapping[str, str]
) -> dict[str, Any]:
    with bench.instance(contender, extra=extra) as instance:
        bench.serves(instance, timeout=5)
        time.sleep(1)
        idle = process.memory(instance.process.pid)
        runs: dict[int, list[load.Run]] = {FEW: [], MANY: []}
        peaks = {FEW: process.Memory(), MANY: process.Memory()}
        recovered: list[bool] = []
        for _ in range(max(1, bench.options.rounds // 2)):
            for connections in (FEW, MANY):
                with process.PeakMemory(instance.process.pid) as sampler:
                    runs[connections].append(_overload(bench, instance, connections))
                peaks[connections].raise_to(sampler.peak)
            recovered.append(bench.serves(instance, timeout=RECOVERY))
            if not recovered[-1]:
                break
    rates = {n: median(run.requests_per_second for run in runs[n]) for n in runs}
    pairs = zip(runs[MANY], runs[FEW], strict=True)
    ratios = [many.requests_per_second / max(few.requests_per_second, 1) for many, few in pairs]
    peak = rounded(peaks[MANY])
    say(f"  {name:15} {rates[FEW]:8.0f} → {rates[MANY]:.0f} requests/s, {peak}")
    return {
        "throughput": {str(n): round(rate, 1) for n, rate in rates.items()},
        "ratio": round(median(ratios), 3),
        "errors": {str(n): load.total_errors([run.errors for run in runs[n]]) for n in runs},
        "p95_ms": {str(n): round(median(run.p95_ms for run in runs[n]), 1) for n in runs},
        "generator_cores": round(max(run.generator_cores for n in runs for run in runs[n]), 3),
        "other_cores": round(max(run.other_cores for n in runs for run in runs[n]), 3),
        "recovered": all(recovered),
        "memory": {
            "idle": rounded(idle),
            **{str(n): rounded(peak) for n, peak in peaks.items()},
        },
    }


def _overload(bench: Bench, instance: Instance, connections: int) -> load.Run:
    seconds = max(bench.options.seconds, 3)
    return load.run(bench.subject(instance), "mix", connections, seconds, statuses=True)


def rounded(memory: process.Memory) -> dict[str, float]:
    """Round the figures to a tenth of a MB."""
    return {name: round(value, 1) for name, value in vars(memory).items()}


def workers(count: int) -> dict[str, str]:
    """Return the setting for `count` processes."""
    return {"WEB_CONCURRENCY": str(count)}


def supports_workers(bench: Bench) -> bool:
    """Return whether WEB_CONCURRENCY=2 starts more processes than 1."""
    counts = []
    for count in (1, 2):
        with bench.instance(bench.contenders["service"], extra=workers(count)) as instance:
            time.sleep(1)
            counts.append(len(process.tree(instance.process.pid)))
    return counts[1] > counts[0]


def scaling(bench: Bench) -> dict[str, Any]:
    """Measure the mix with one worker and with two, in interleaved rounds."""
    if "service" not in bench.contenders or not supports_workers(bench):
        return {}
    service = bench.contenders["service"]
    runs: dict[str, list[load.Run]] = {"1": [], "2": []}
    with ExitStack() as stack:
        instances = {
            count: stack.enter_context(bench.instance(service, extra=workers(int(count))))
            for count in runs
        }
        for instance in instances.values():
            warm_up(bench, instance)
        for _ in range(bench.options.rounds):
            for count, instance in instances.items():
                subject = bench.subject(instance)
                runs[count].append(load.run(subject, "mix", FEW, bench.options.seconds))
    return {count: load.summary(of_count) for count, of_count in runs.items()}
