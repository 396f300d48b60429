"""Bar charts as SVG, without a library."""

import math
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

COLOURS = (
    "#2563eb", "#93c5fd", "#9ca3af", "#f59e0b", "#10b981", "#a855f7", "#ec4899", "#78350f",
)  # fmt: skip
ROW, GAP, LEFT, WIDTH = 16, 14, 190, 520  # pixels
LEGEND = 36, 20  # top, and height of a row


@dataclass
class Chart:
    """Groups of horizontal bars, with a bar for each series. A value of None has no bar."""

    title: str
    unit: str
    groups: list[str]
    series: dict[str, list[float | None]]
    logarithmic: bool = False
    marks: dict[str, float] = field(default_factory=dict)  # labelled lines across the chart

    def _length(self, value: float) -> float:
        """Return the pixels of a value. A logarithmic axis starts at a third of the minimum."""
        values = [v for row in self.series.values() for v in row if v] + list(self.marks.values())
        largest, smallest = max(values), min(values) / 3
        if self.logarithmic:
            return WIDTH * math.log(max(value, smallest) / smallest) / math.log(largest / smallest)
        return WIDTH * value / largest

    def _bars(self, group: int, top: float) -> list[str]:
        """Return the bars of one group, with their values."""
        parts = [text(LEFT - 8, top + ROW * len(self.series) / 2 + 4, self.groups[group], "end")]
        for number, values in enumerate(self.series.values()):
            value, y = values[group], top + number * ROW
            if value is None:
                continue
            length = self._length(value)
            colour = COLOURS[number % len(COLOURS)]
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{ROW - 3}" '
                         f'fill="{colour}"/>')  # fmt: skip
            parts.append(
                text(
                    LEFT + length + 5, y + 11, f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"
                )
            )
        return parts

    def _legend(self) -> tuple[list[str], int]:
        """Return the names of the series in rows, and the position after them."""
        parts, x, (y, height) = [], LEFT, LEGEND
        for number, name in enumerate(self.series):
            needed = 34 + 7 * len(name)
            if x + needed > LEFT + WIDTH + 80:
                x, y = LEFT, y + height
            colour = COLOURS[number % len(COLOURS)]
            parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour}"/>')
            parts.append(text(x + 17, y + 10, name))
            x += needed
        return parts, y + height

    def _marks(self, top: float, bottom: float) -> list[str]:
        """Return the lines across the chart, such as a target."""
        parts = []
        for name, value in self.marks.items():
            x = LEFT + self._length(value)
            parts.append(f'<line x1="{x:.1f}" y1="{top - 4}" x2="{x:.1f}" y2="{bottom}" '
                         'stroke="#dc2626" stroke-dasharray="4 3"/>')  # fmt: skip
            parts.append(text(x, bottom + 12, name, "middle", "#dc2626"))
        return parts

    def write(self, path: Path) -> None:
        """Write the chart to a file."""
        legend, end = self._legend()
        top = end + 8
        height_of_group = ROW * len(self.series) + GAP
        bottom = top + height_of_group * len(self.groups)
        parts = [text(12, 22, f"{self.title} ({self.unit})", size=15), *legend]
        for group in range(len(self.groups)):
            parts += self._bars(group, top + group * height_of_group)
        parts += self._marks(top, bottom - GAP + 4)
        width, height = LEFT + WIDTH + 80, bottom + 14
        path.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="sans-serif" font-size="12">\n'
            '<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
        )


def text(
    x: float, y: float, words: str, anchor: str = "start", colour: str = "#111827", size: int = 12
) -> str:
    """Return a line of text."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" '
        f'font-size="{size}">{escape(words)}</text>'
    )
