"""A picture of what happens to a request, from its connection to its response."""

from itertools import pairwise
from typing import NamedTuple

from tests.architecture.svg import arrow, picture, rect, text

WIDTH, PAD, GAP, LINE = 980, 24, 26, 17  # pixels
LEFT, BOX, SPACE = 168, 246, 18  # start and width of the first column, space between columns
END, INSET, ROW_GAP = 42, 14, 22  # height of the end boxes, space around boxes, between rows
MIDDLE, RIGHT = LEFT + BOX + SPACE, LEFT + 2 * (BOX + SPACE)


class Step(NamedTuple):
    """One step of a request, and the files that implement it."""

    title: str
    files: tuple[str, ...] = ()
    note: str = ""

    @property
    def height(self) -> float:
        return 34 + LINE * (len(self.files) + bool(self.note))


class Layer(NamedTuple):
    """The packages of one band, what a request does there, and what its response does."""

    names: tuple[str, ...]
    request: tuple[Step, ...]
    response: Step

    @property
    def rows(self) -> list[tuple[Step, ...]]:
        return [self.request[at : at + 2] for at in range(0, len(self.request), 2)]

    @property
    def height(self) -> float:
        inside = sum(max(step.height for step in row) + ROW_GAP for row in self.rows) - ROW_GAP
        return max(inside, self.response.height) + 2 * INSET


LAYERS = (
    Layer(
        ("serving/", "HTTP/1.1"),
        (
            Step("reads the head", ("serving/protocol.py", "serving/head.py"), "64 KiB, 100 lines"),
            Step("reads the body", ("serving/body.py", "serving/exchange.py"), "a memory budget"),
        ),
        Step("writes the response", ("serving/exchange.py", "serving/response.py")),
    ),
    Layer(
        ("middleware/", "ASGI"),
        (
            Step("checks the origin", ("middleware/cors.py",)),
            Step("catches errors", ("middleware/errors.py",)),
        ),
        Step(
            "adds headers, logs",
            ("middleware/response_headers.py", "observability/logs.py"),
            "or the error, as JSON: errors/",
        ),
    ),
    Layer(
        ("routing/", "the fast path,", "or FastAPI's"),
        (
            Step("finds the route", ("routing/fast_routes.py", "routing/route.py")),
            Step("verifies the token", ("auth.py", "tokens/verifier.py"), "else 401 or 403"),
            Step(
                "takes the body and a slot",
                ("routing/body.py", "routing/admission.py"),
                "else 413, 429 or 503",
            ),
            Step(
                "makes the arguments",
                ("routing/solver.py", "routing/parameters.py"),
                "else 400",
            ),
        ),
        Step(
            "frees the slot",
            ("routing/task_route.py", "routing/admission.py"),
            "the next request takes it",
        ),
    ),
    Layer(
        ("routes/ tasks/", "an endpoint"),
        (
            Step("runs the endpoint", ("routes/tasks.py",), "parse, one statement, respond"),
            Step("chooses the statement", ("tasks/queries.py", "tasks/repository.py")),
        ),
        Step("makes the JSON", ("tasks/serialization.py", "tasks/headers.py")),
    ),
    Layer(
        ("postgres/", "the driver"),
        (
            Step("takes a connection", ("database.py", "postgres/pool.py")),
            Step(
                "sends the statement",
                ("postgres/driver.py", "postgres/prepared.py", "postgres/async_connection.py"),
                "after 5 s it is cancelled",
            ),
        ),
        Step("reads the rows", ("postgres/async_connection.py",)),
    ),
)


def draw() -> str:
    """Return the picture as SVG."""
    tops, y = list[float](), float(PAD + END + GAP)
    for layer in LAYERS:
        tops.append(y)
        y += layer.height + GAP
    parts = [
        *_end(PAD, "client: browser, app or program"),
        *_end(y, "PostgreSQL"),
        *(part for layer, top in zip(LAYERS, tops, strict=True) for part in _layer(layer, top)),
        arrow(f"M{LEFT + BOX / 2:g} {PAD + END}V{tops[0] + INSET - 2:g}"),
        arrow(f"M{MIDDLE + BOX / 2:g} {tops[-1] + LAYERS[-1].height - INSET:g}V{y - 2:g}"),
    ]
    for above, below in pairwise([PAD + END, *tops, y]):
        begin = below + (INSET if below != y else 0)
        height = 0 if above == PAD + END else LAYERS[tops.index(above)].height - INSET
        parts.append(arrow(f"M{RIGHT + BOX / 2:g} {begin:g}V{above + height + 2:g}", "back"))
        if height and below != y:
            parts.append(arrow(_turn(above + height, below + INSET)))
    return picture(WIDTH, int(y + END + PAD), "The path of a request", _description(), parts)


def _end(top: float, name: str) -> list[str]:
    span = RIGHT + BOX - LEFT
    return [rect(LEFT, top, span, END), text(LEFT + span / 2, top + 26, name, "title", "middle")]


def _turn(begin: float, end: float) -> str:
    """Return a path from the second column down to the first column of the next row."""
    x, x2, y, r = MIDDLE + BOX / 2, LEFT + BOX / 2, (begin + end) / 2, min(8, (end - begin) / 2)
    return (
        f"M{x:g} {begin:g}V{y - r:g}Q{x:g} {y:g} {x - r:g} {y:g}H{x2 + r:g}"
        f"Q{x2:g} {y:g} {x2:g} {y + r:g}V{end - 2:g}"
    )


def _layer(layer: Layer, top: float) -> list[str]:
    parts = [rect(PAD, top, WIDTH - 2 * PAD, layer.height, "band")]
    for number, name in enumerate(layer.names):
        kind = "quiet" if number else "layer"
        parts.append(text(PAD + 16, top + 34 + 18 * number, name, kind))
    rows = layer.rows
    y, left = top + INSET, layer.height - 2 * INSET - ROW_GAP * (len(rows) - 1)
    for row in rows:
        height = left / len(rows)
        for step, x in zip(row, (LEFT, MIDDLE), strict=False):
            parts += _step(step, x, y, height)
        parts.append(arrow(f"M{LEFT + BOX} {y + height / 2:g}H{MIDDLE - 2}"))
        y += height + ROW_GAP
        if row is not rows[-1]:
            parts.append(arrow(_turn(y - ROW_GAP, y)))
    return [*parts, *_step(layer.response, RIGHT, top + INSET, layer.height - 2 * INSET)]


def _step(step: Step, x: float, y: float, height: float) -> list[str]:
    parts = [rect(x, y, BOX, height), text(x + 14, y + 23, step.title, "title")]
    lines = [(name, "file") for name in step.files] + [(step.note, "quiet")] * bool(step.note)
    for number, (content, kind) in enumerate(lines):
        parts.append(text(x + 14, y + 23 + LINE * (number + 1), content, kind))
    return parts


def _description() -> str:
    steps = [step.title for layer in LAYERS for step in layer.request]
    back = [layer.response.title for layer in reversed(LAYERS)]
    return f"On its way in, the service {', '.join(steps)}. On the way out, it {', '.join(back)}."


def files() -> set[str]:
    """Return the files that the picture names."""
    steps = [step for layer in LAYERS for step in (*layer.request, layer.response)]
    return {name for step in steps for name in step.files}
