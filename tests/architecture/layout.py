"""Layout of a layered graph, in which few lines cross and no line runs behind a box.

A line that crosses several layers has a bend in each. Lines to the same box share their bends.
This is Sugiyama's method: https://en.wikipedia.org/wiki/Layered_graph_drawing.
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from statistics import fmean

SWEEPS = 40
Edges = Mapping[str, set[str]]


def with_bends(
    layers: list[list[str]], edges: Edges
) -> tuple[list[list[str]], list[tuple[str, str]]]:
    """Return the layers with a bend wherever a line crosses one, and the lines between layers."""
    level = {name: number for number, names in enumerate(layers) for name in names}
    full = [[*names] for names in layers]
    lines: dict[tuple[str, str], None] = {}
    for begin, ends in sorted(edges.items()):
        for end in sorted(ends):
            between = [f"{end}@{number}" for number in range(level[begin] + 1, level[end])]
            for bend in between:
                if bend not in full[int(bend.rpartition("@")[2])]:
                    full[int(bend.rpartition("@")[2])].append(bend)
            lines |= dict.fromkeys(pairwise([begin, *between, end]))
    return full, list(lines)


def is_bend(name: str) -> bool:
    return "@" in name


def arrange(
    layers: list[list[str]], lines: Iterable[tuple[str, str]], widths: Mapping[str, float]
) -> dict[str, float]:
    """Return the x coordinate of the middle of each box and bend. The leftmost edge is at 0."""
    above: dict[str, list[str]] = {name: [] for names in layers for name in names}
    below: dict[str, list[str]] = {name: [] for names in layers for name in names}
    for begin, end in lines:
        below[begin].append(end)
        above[end].append(begin)
    middles = {name: 100.0 * place for names in layers for place, name in enumerate(names)}
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for names in layers if down else reversed(layers):
            near = above if down else below
            wanted = {
                name: fmean([middles[each] for each in near[name]] or [middles[name]])
                for name in names
            }
            if sweep < SWEEPS - 12:  # the last 12 sweeps keep the order and use both sides
                names.sort(key=lambda name: (wanted[name], name))
            else:
                sides = {name: above[name] + below[name] for name in names}
                wanted = {name: fmean(middles[each] for each in sides[name]) for name in names}
            middles |= _apart(names, wanted, widths)
    first = min(middles[name] - widths[name] / 2 for name in middles)
    return {name: middle - first for name, middle in middles.items()}


def _apart(
    names: list[str], wanted: Mapping[str, float], widths: Mapping[str, float]
) -> dict[str, float]:
    """Return positions near the wanted ones that keep this order and do not overlap."""
    places: dict[str, float] = {}
    for before, name in zip([None, *names], names, strict=False):
        least = places[before] + (widths[before] + widths[name]) / 2 if before else wanted[name]
        places[name] = max(wanted[name], least)
    for name, after in reversed(list(pairwise(names))):  # move back to the left if there is room
        most = places[after] - (widths[name] + widths[after]) / 2
        places[name] = min(most, places[name])
    shift = fmean(wanted[name] - places[name] for name in names)
    return {name: place + shift for name, place in places.items()}
