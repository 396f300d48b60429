"""The tasks for benchmarks/search.py: random words, and users with few and many tasks."""

import io
import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import product

from postgres_server import Server

WITHOUT, WITH = "search_without", "search_with"  # the databases
LETTERS = "bdfglmnprstv", "aeiou"
RARE = "quixotry"  # in RARE_TASKS tasks of each measured user; no other word has a q
RARE_TASKS = 3
SHORT, LONG = "short", "long"
LENGTHS = {SHORT: 80, LONG: 1000}  # characters of a description
OTHERS_TASKS = 100  # of each other user
BATCH = 20_000  # rows of one COPY
COLUMNS = ("user_id", "title", "description", "completed", "created_at", "updated_at")

Row = tuple[str, str, str, bool, datetime, datetime]


def user_id(kind: str, tasks: int) -> str:
    """Return the id of the user with this many tasks and descriptions of this kind."""
    return f"{kind}-{tasks}"


class Texts:
    """Titles of three words, and descriptions of a given length, the same in each run."""

    def __init__(self) -> None:
        self.random = random.Random(1)
        syllables = ["".join(pair) for pair in product(*LETTERS)]
        self.words = ["".join(self.random.choices(syllables, k=1 + n % 4)) for n in range(3000)]

    def title(self) -> str:
        """Return a title of about 17 characters."""
        return " ".join(self.random.choices(self.words, k=3)).capitalize()

    def description(self, kind: str) -> str:
        """Return a description with exactly the length of the kind."""
        length = LENGTHS[kind]
        return " ".join(self.random.choices(self.words, k=length // 2))[:length]


def rows(texts: Texts, others: int, sizes: Iterable[int]) -> Iterator[Row]:
    """Yield the tasks of all users, scattered as if made over time."""
    owners = [(f"other-{n // OTHERS_TASKS}", SHORT, False) for n in range(others)]
    for kind, size in product(LENGTHS, sizes):
        owners += [(user_id(kind, size), kind, n < RARE_TASKS) for n in range(size)]
    texts.random.shuffle(owners)
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    for number, (owner, kind, is_rare) in enumerate(owners):
        title = f"{texts.title()} {RARE}" if is_rare else texts.title()
        moment += timedelta(seconds=10)
        yield owner, title, texts.description(kind), number % 4 == 0, moment, moment


def load(server: Server, database: str, tasks: Iterator[Row]) -> None:
    """Copy the tasks into the table."""
    with (
        server.loading(database),
        server.connect(database) as connection,
        connection.cursor() as cursor,
    ):
        while batch := [row for row, _ in zip(tasks, range(BATCH), strict=False)]:
            lines = ("\t".join(map(str, row)) + "\n" for row in batch)
            cursor.copy_from(io.StringIO("".join(lines)), "tasks", columns=COLUMNS)
