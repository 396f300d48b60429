"""A picture of the packages and modules of the service and their imports."""

from collections.abc import Iterable

from tests.architecture.layout import arrange, is_bend, with_bends
from tests.architecture.svg import arrow, line, picture, rect, text
from tests.support.layers import IMPORTS, LAYERS, MODULES

PAD, HEIGHT, GAP, SPACE = 24, 46, 50, 22  # pixels
PURPOSES = {
    "main": "the application", "routes": "endpoints", "routing": "to the endpoint",
    "serving": "HTTP/1.1, processes", "tasks": "SQL, pages, JSON", "auth": "get_current_user",
    "database": "Session, engine", "tokens": "verifying", "middleware": "ASGI",
    "condition": "of the database", "development": "own Postgres", "errors": "every error",
    "observability": "log, telemetry", "config": "settings", "schemas": "what crosses the wire",
    "postgres": "driver, pool", "addresses": "", "origins": "", "memory": "", "models": "tables",
    "secret_rules": "",
}  # fmt: skip


def imports() -> dict[str, set[str]]:
    """Return, for each package, the names of the packages that it imports."""
    found: dict[str, set[str]] = {}
    for module, others in IMPORTS.items():
        package = module.partition(".")[0]
        names = {other.partition(".")[0] for other in others if other} - {package}
        found.setdefault(package, set()).update(names)
    return found


def reduced(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the transitive reduction: no edge where a longer path leads to the same package."""

    def reach(begin: Iterable[str]) -> set[str]:
        seen: set[str] = set()
        waiting = list(begin)
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += edges[name]
        return seen

    return {
        name: {each for each in others if each not in reach(others - {each})}
        for name, others in edges.items()
    }


def draw() -> str:
    """Return the picture as SVG."""
    edges = reduced(imports())
    layers, lines = with_bends([[*names] for names in reversed(LAYERS)], edges)
    widths = {name: _width(name) for names in layers for name in names}
    middles = arrange(layers, lines, widths)
    tops = {name: PAD + row * (HEIGHT + GAP) for row, names in enumerate(layers) for name in names}
    parts = [_line(begin, end, middles, tops) for begin, end in lines]
    for name in (name for names in layers for name in sorted(names) if not is_bend(name)):
        parts += _box(name, PAD + middles[name], tops[name], widths[name] - SPACE)
    width = 2 * PAD + max(middles[name] + widths[name] / 2 for name in middles)
    height = 2 * PAD + len(layers) * (HEIGHT + GAP) - GAP
    words = "; ".join(
        f"{name} imports {', '.join(sorted(edges[name]))}" for name in sorted(edges) if edges[name]
    )
    return picture(round(width), height, "The packages and their imports", words, parts)


def _width(name: str) -> float:
    """Return the width of a box or a bend, including the space beside it."""
    if is_bend(name):
        return 26.0
    return max(100.0, 8.2 * len(name) + 48, 6.8 * len(_purpose(name)) + 28) + SPACE


def _purpose(name: str) -> str:
    return PURPOSES.get(name, "")


def _box(name: str, middle: float, top: float, width: float) -> list[str]:
    is_package = name in MODULES and MODULES[name].name == "__init__.py"
    title = f"{name}/" if is_package else f"{name}.py"
    purpose = _purpose(name)
    parts = [rect(round(middle - width / 2, 1), top, width, HEIGHT)]
    parts.append(text(round(middle, 1), top + (20 if purpose else 28), title, "layer", "middle"))
    if purpose:
        parts.append(text(round(middle, 1), top + 37, purpose, "quiet", "middle"))
    return parts


def _line(begin: str, end: str, middles: dict[str, float], tops: dict[str, int]) -> str:
    """Return a line to the next layer. A line that ends at a bend goes straight on through it."""
    x1, x2 = (f"{PAD + middles[name]:.1f}" for name in (begin, end))
    y1, y2 = tops[begin] + HEIGHT, tops[end]
    straight = f"V{y2 + HEIGHT}" if is_bend(end) else ""
    middle = (y1 + y2) / 2
    path = f"M{x1} {y1}C{x1} {middle:g} {x2} {middle:g} {x2} {y2 - (not is_bend(end))}{straight}"
    return arrow(path, "thin") if not is_bend(end) else line(path, "thin")
