"""Sections with a network that does not change: users, throughput, sizes of the pool."""

import time
from typing import Any

import load
from bench import say
from network_bench import NetworkBench, busy_elsewhere, of_network, result_of

CONNECTIONS = 64  # of wrk
FAST = ("0 ms", "1 ms", "5 ms", "10 ms", "30 ms")  # networks for wrk
NEAR_AND_FAR = ("10 ms", "30 ms")  # networks for pools
NETWORKS: dict[str, dict[str, float]] = {
    "0 ms": {},
    "1 ms": {"round_trip": 1},
    "5 ms": {"round_trip": 5},
    "10 ms": {"round_trip": 10},
    "30 ms": {"round_trip": 30},
    "60 ms": {"round_trip": 60},
    "30 to 50 ms": {"round_trip": 30, "jitter": 10},
    "30 ms, 0.1 % loss": {"round_trip": 30, "loss": 0.1},
    "30 ms, 1 % loss": {"round_trip": 30, "loss": 1},
    "30 ms, 100 Mbit/s": {"round_trip": 30, "bandwidth": 100},
    "30 ms, 20 Mbit/s": {"round_trip": 30, "bandwidth": 20},
}
POOLS = {
    "10": {"DB_POOL_SIZE": "10", "DB_MAX_OVERFLOW": "0"},
    "10 + 20": {"DB_POOL_SIZE": "10", "DB_MAX_OVERFLOW": "20"},
    "30": {"DB_POOL_SIZE": "30", "DB_MAX_OVERFLOW": "0"},
}


def users(over: NetworkBench) -> dict[str, Any]:
    """Measure the 1,000 users over each network, with a new service for each."""
    return {name: _users(over, name, {}) for name in over.networks}


def pools(over: NetworkBench) -> dict[str, Any]:
    """Measure the users with each size of the pool."""
    return {
        f"{pool} at {network}": _users(over, network, settings)
        for network in NEAR_AND_FAR
        if network in over.networks
        for pool, settings in POOLS.items()
    }


def _users(over: NetworkBench, network: str, settings: dict[str, str]) -> Any:
    with over.service(**settings) as instance:
        over.link.set(**NETWORKS[network])
        elsewhere, began = busy_elsewhere(), time.monotonic()
        with over.users(instance, over.bench.options.open_loop_seconds) as running:
            result = result_of(running) | {"network": of_network(over.link.set())}
        result["other_cores"] = (busy_elsewhere() - elsewhere) / (time.monotonic() - began)
    words = " ".join(f"{name}={value}" for name, value in settings.items())
    say(f"  {network:30} {words} p95 {result['p95_ms']:8.1f} ms, errors {result['errors']}")
    return result


def throughput(over: NetworkBench) -> dict[str, Any]:
    """Measure the mix on 64 connections without a pause."""
    found = {}
    for network in (name for name in FAST if name in over.networks):
        with over.service() as instance:
            over.link.set(**NETWORKS[network])
            subject, options = over.bench.subject(instance), over.bench.options
            runs = [
                load.run(subject, "mix", CONNECTIONS, options.seconds, statuses=True)
                for _ in range(options.rounds)
            ]
            found[network] = load.summary(runs) | {"network": of_network(over.link.set())}
        say(f"  {network:30} {found[network]['requests_per_second']:8.0f} requests/s")
    return found
