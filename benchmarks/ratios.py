"""Requests/s of one contender relative to those of another."""

from collections.abc import Mapping
from statistics import median
from typing import Any


def ratio(runs: Mapping[str, Any], name: str, to: str) -> float:
    """The median over the rounds of one contender's requests/s relative to another's.

    Two that took turns in a round met the same machine, whatever else it did then. One of them
    may have taken part in the first rounds only.
    """
    pairs = zip(runs[name]["rounds"], runs[to]["rounds"], strict=False)
    return float(median(ours / theirs for ours, theirs in pairs))


def of_service(loads: Mapping[str, Any], operation: str, to: str) -> float | None:
    """The service relative to a peer; None where one of them did not run or served nothing."""
    try:
        return ratio(loads[operation], "service", to)
    except (KeyError, ZeroDivisionError):
        return None


def of_every_peer(loads: Mapping[str, Any]) -> dict[str, list[float | None]]:
    """The service relative to each peer that ran, by operation."""
    peers = [name for name in next(iter(loads.values())) if name != "service"]
    return {to: [of_service(loads, operation, to) for operation in loads] for to in peers}
