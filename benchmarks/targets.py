"""The targets, and whether the figures of a run meet them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ratios import ratio
from search_data import LONG, SHORT, WITH, WITHOUT

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """A figure and its bounds. None means no bound."""

    text: str
    figure: Callable[[Results], float]
    least: float | None = None
    most: float | None = None
    unit: str = ""

    def read(self, results: Results) -> float | None:
        """Return the figure, or None if its section or its contender did not run."""
        try:
            return self.figure(results)
        except (KeyError, ZeroDivisionError):
            return None

    def met(self, figure: float) -> bool:
        """Return whether the figure is within the bounds."""
        return (self.least is None or figure >= self.least) and (
            self.most is None or figure <= self.most
        )


def rate(operation: str, to: str) -> Callable[[Results], float]:
    """Return a function for the service's requests/s divided by a peer's."""

    def figure(results: Results) -> float:
        return ratio(results["closed loop"][operation], "service", to)

    return figure


def postgres_cpu(operation: str, to: str) -> Callable[[Results], float]:
    """Return a function for the CPU time of Postgres for a request, divided by a peer's."""

    def figure(results: Results) -> float:
        runs = results["closed loop"][operation]
        return float(runs["service"]["postgres_cpu_ms"] / runs[to]["postgres_cpu_ms"])

    return figure


def open_loop(name: str) -> Callable[[Results], float]:
    """Return a function that gets this figure of the open loop."""
    return lambda results: float(results["open loop"]["service"][name])


def open_loop_errors(results: Results) -> float:
    """Return how many requests of the open loop failed."""
    return float(sum(results["open loop"]["service"]["errors"].values()))


def thousand(name: str) -> Callable[[Results], float]:
    """Return a function that gets this figure of the run at 1,000 connections."""
    return lambda results: float(results["1,000 connections"]["service"][name])


def thousand_errors(results: Results) -> float:
    """Return how many requests at 1,000 connections failed, without those that got a 503."""
    errors = results["1,000 connections"]["service"]["errors"]["1000"]
    return float(sum(count for kind, count in errors.items() if kind != "503"))


def memory(name: str, kind: str) -> Callable[[Results], float]:
    """Return a function for the peak of memory at 1,000 connections, in MB."""
    return lambda results: float(results["1,000 connections"][name]["memory"]["1000"][kind])


def cost(case: str, to: str) -> Callable[[Results], float]:
    """Return a function for the time of a page, divided by that of another case."""
    return lambda results: float(results["growth"][case] / results["growth"][to])


def start(results: Results) -> float:
    """Return the seconds from exec to the first response."""
    return float(results["start"]["service"])


HEAVY, USUAL = "user of 100,000 tasks", "user of 100 tasks"
LARGE, SMALL = "table of 1,000,000 rows", "table of 10,000 rows"

TARGETS = [
    Target(
        "mix at 64 connections, relative to the conventional build", rate("mix", "conventional"), 5
    ),
    Target("list of 100, relative to the conventional build", rate("list", "conventional"), 5.5),
    *(
        Target(f"{operation}, relative to Fastify + pg", rate(operation, "fastify"), 1.2)
        for operation in ("get", "list", "search", "stats", "create", "update", "toggle", "mix")
    ),
    *(
        Target(f"{operation}, relative to {title}", rate(operation, name), 1)
        for name, title in (("bun", "Bun + Elysia"), ("go", "Go + pgx"))
        for operation in ("list", "mix")
    ),
    *(
        Target(
            f"CPU of Postgres for {operation}, relative to Go's",
            postgres_cpu(operation, "go"),
            most=1.3,
        )
        for operation in ("get", "list", "search", "stats", "create", "toggle")
    ),
    *(
        Target(f"{operation}, relative to the floor", rate(operation, "floor"), 0.7)
        for operation in ("get", "search", "stats", "create", "update", "toggle")
    ),
    Target("1,000 users every 2 s, p95", open_loop("p95_ms"), most=50, unit="ms"),
    Target("1,000 users every 2 s, errors", open_loop_errors, most=0),
    Target("1,000 connections, errors other than 503", thousand_errors, most=0),
    Target("1,000 connections, throughput relative to 64 connections", thousand("ratio"), 0.9),
    Target("1,000 connections, responds within 2 s afterwards", thousand("recovered"), 1),
    Target("page of 50: user with 100,000 tasks, relative to 100", cost(HEAVY, USUAL), 0.8, 1.2),
    Target("page of 50: table of 10⁶ rows, relative to 10⁴", cost(LARGE, SMALL), 0.8, 1.2),
    Target(
        "page of 50: page 1,000, relative to page 1",
        cost("the last at page 1,000", HEAVY),
        0.8,
        1.2,
    ),
    Target("RSS at 1,000 connections, one worker", memory("service", "rss_mb"), None, 100, "MB"),
    Target("PSS at 1,000 connections, two workers", memory("service-2", "pss_mb"), None, 100, "MB"),
    Target("start to first response", start, most=2, unit="s"),
]  # fmt: skip


def at_30_ms(name: str) -> Callable[[Results], float]:
    """Return a function for a figure of the users over a round trip of 30 ms."""
    return lambda results: float(results["users"]["30 ms"][name])


def errors_at_30_ms(results: Results) -> float:
    """Return how many requests of these users failed."""
    return float(sum(results["users"]["30 ms"]["errors"].values()))


# The targets of benchmarks/network.py.
NETWORK_TARGETS = [
    Target("1,000 users every 2 s at 30 ms, p95", at_30_ms("p95_ms"), most=200, unit="ms"),
    Target("1,000 users every 2 s at 30 ms, errors", errors_at_30_ms, most=0),
]


def search_run(results: Results, kind: str, case: str, size: int, name: str) -> Mapping[str, Any]:
    """Return the figures of a case. Raises KeyError if the run did not have it."""
    for run in results["reads"]:
        if (run["kind"], run["case"], run["size"]) == (kind, case, size):
            found: Mapping[str, Any] = run[name]
            return found
    raise KeyError(case)


def search_ms(kind: str, case: str) -> Callable[[Results], float]:
    """Return a function for the time for a user with 100,000 tasks, without the index."""
    return lambda results: float(search_run(results, kind, case, MOST, WITHOUT)["ms"])


def search_growth(case: str, name: str) -> Callable[[Results], float]:
    """Return a function for the time for a user with 100,000 tasks, divided by that for 100."""

    def figure(results: Results) -> float:
        most, least = (search_run(results, SHORT, case, size, name)["ms"] for size in (MOST, 100))
        return float(most / least)

    return figure


def rows_of_user(case: str) -> Callable[[Results], float]:
    """Return a function for the rows that Postgres reads, divided by the tasks of the user."""
    return lambda results: float(search_run(results, SHORT, case, MOST, WITHOUT)["rows"] / MOST)


MOST = 100_000  # tasks of one user
PAGE_OF_MATCHES = "page of 50 by one letter"

# The targets of benchmarks/search.py. A statement may take 5 s. Rows are rounded if Postgres reads
# in parallel.
SEARCH_TARGETS = [
    Target("rows read by a search without a match, relative to the user's 100,000 tasks",
           rows_of_user("no match"), 0.99, 1.01),
    Target("rows read by stats, relative to the user's 100,000 tasks",
           rows_of_user("stats"), 0.99, 1.01),
    Target("page of 50 matches: user with 100,000 tasks, relative to 100",
           search_growth(PAGE_OF_MATCHES, WITHOUT), most=2),
    Target("search without a match, with the index: user with 100,000 tasks, relative to 100",
           search_growth("no match", WITH), most=2),
    Target("search without a match in 100,000 tasks with long descriptions",
           search_ms(LONG, "no match"), most=2500, unit="ms"),
    Target("stats of 100,000 tasks", search_ms(SHORT, "stats"), most=50, unit="ms"),
]  # fmt: skip
