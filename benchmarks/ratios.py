"""Requests/s of one contender, divided by those of another."""

from collections.abc import Mapping
from statistics import median
from typing import Any


def ratio(runs: Mapping[str, Any], name: str, to: str) -> float:
    """Return the median of the rounds' ratios of one contender's requests/s to another's.

    Within a round, other programs on the machine affect both contenders equally. One of them may
    have taken part in the first rounds only.
    """
    pairs = zip(runs[name]["rounds"], runs[to]["rounds"], strict=False)
    return float(median(ours / theirs for ours, theirs in pairs))


def of_service(loads: Mapping[str, Any], operation: str, to: str) -> float | None:
    """Return the service's ratio to a peer, or None if one did not run or served nothing."""
    try:
        return ratio(loads[operation], "service", to)
    except (KeyError, ZeroDivisionError):
        return None


def of_every_peer(loads: Mapping[str, Any]) -> dict[str, list[float | None]]:
    """Return the service's figures divided by those of each peer that ran, by operation."""
    peers = [name for name in next(iter(loads.values())) if name != "service"]
    return {to: [of_service(loads, operation, to) for operation in loads] for to in peers}
