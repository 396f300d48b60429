"""Where the time of a request goes, for the line that is logged of a slow one."""

from time import perf_counter

from starlette.types import Scope


class Times:
    """What one request waited for. It lives as long as the request, so it is small."""

    __slots__ = ("asked", "connection", "database", "granted")

    def __init__(self) -> None:
        self.asked = perf_counter()  # for its turn
        self.granted: float | None = None
        self.connection = 0.0  # seconds until a connection was lent
        self.database = 0.0  # seconds until the statements were answered


def summary(scope: Scope, seconds: float) -> str:
    """Where the `seconds` of a request that ends now went, in milliseconds."""
    times: Times | None = scope.get("times")
    turn = connection = database = 0.0
    if times is not None:  # it came as far as to ask for a turn, and perhaps no further
        turn = (perf_counter() if times.granted is None else times.granted) - times.asked
        connection, database = times.connection, times.database
    parts = {
        "turn": turn,
        "connection": connection,
        "database": database,
        "rest": max(seconds - turn - connection - database, 0.0),
    }
    return ", ".join(f"{name} {part * 1000:.1f}" for name, part in parts.items())
