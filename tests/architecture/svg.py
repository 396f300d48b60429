"""SVG shapes, with colours for light and dark pages."""

from collections.abc import Iterable
from html import escape

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
# "line" is the border of a box, "quiet" is secondary text, and "strong" and "back" are arrows.
LIGHT = {
    "page": "#ffffff", "band": "#f4f6f9", "box": "#ffffff", "line": "#cbd5e1",
    "text": "#0f172a", "quiet": "#526074", "strong": "#2563eb", "back": "#0f766e",
}  # fmt: skip
DARK = {
    "page": "#0d1117", "band": "#151b23", "box": "#1f2733", "line": "#3d4857",
    "text": "#e6edf3", "quiet": "#9aa7b6", "strong": "#6ea8fe", "back": "#4fd1c5",
}  # fmt: skip


def picture(width: int, height: int, title: str, description: str, parts: Iterable[str]) -> str:
    """Return the whole file. It has its own background, so it is readable on any page."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" aria-labelledby="title description">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="description">{escape(description)}</desc>',
            f"<style>{_style()}</style>",
            _arrow_head("strong"),
            _arrow_head("back"),
            _arrow_head("quiet"),
            f'<rect class="page" width="{width}" height="{height}" rx="14"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _style() -> str:
    colours = (f"--{name}: {value}" for name, value in LIGHT.items())
    dark = (f"--{name}: {value}" for name, value in DARK.items())
    return f"""
svg {{ {"; ".join(colours)} }}
@media (prefers-color-scheme: dark) {{ svg {{ {"; ".join(dark)} }} }}
text {{ font: 13px {FONT}; fill: var(--text) }}
.page {{ fill: var(--page) }}
.band {{ fill: var(--band) }}
.box {{ fill: var(--box); stroke: var(--line) }}
.title {{ font-weight: 600 }}
.quiet {{ fill: var(--quiet) }}
.file {{ font: 11.5px {MONO}; fill: var(--quiet) }}
.layer {{ font: 600 13px {MONO}; fill: var(--text) }}
.arrow {{ fill: none; stroke-width: 1.6 }}
.strong {{ stroke: var(--strong) }}
.back {{ stroke: var(--back) }}
.thin {{ stroke: var(--quiet); stroke-width: 1.2; opacity: 0.75 }}
"""


def _arrow_head(colour: str) -> str:
    return (
        f'<marker id="{colour}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        f'markerHeight="7" orient="auto-start-reverse"><path d="M0 1 9 5 0 9z" '
        f'style="fill: var(--{colour})"/></marker>'
    )


def rect(x: float, y: float, width: float, height: float, kind: str = "box") -> str:
    return (
        f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="9"/>'
    )


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(content)}</text>'
    )


def arrow(points: str, kind: str = "strong") -> str:
    """Return a path with an arrow head at its end. `points` is the path data."""
    head = {"thin": "quiet"}.get(kind, kind)
    return line(points, kind).replace("/>", f' marker-end="url(#{head})"/>')


def line(points: str, kind: str = "strong") -> str:
    return f'<path class="arrow {kind}" d="{points}"/>'
