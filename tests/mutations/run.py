"""Make each mutation in a copy of the project, and run the mutation's tests there.

`python -m tests.mutations.run [PART OF A NAME ...]`
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from queue import SimpleQueue

from sqlalchemy.engine import URL

from config import ROOT
from development.database import running_postgres
from tests.mutations.mutation import Mutation, NotApplicable, arguments, mutated
from tests.mutations.table import MUTATIONS
from tests.support.services import sql

TIME_LIMIT = 120  # seconds for the tests of one mutation
WORKERS = min(os.cpu_count() or 1, 4)
# Exit codes of pytest (https://docs.pytest.org/en/stable/reference/exit-codes.html).
ALL_PASSED, SOME_FAILED = 0, 1
CAUGHT = "caught"
FAILED = re.compile(r"^FAILED \S+?::(\w+)", re.M)  # not "ERROR", which means that a fixture failed

_number = count()


def run_tests(folder: Path, tests: Sequence[str], server: URL) -> tuple[int, str]:
    """Run tests of the project in `folder` with a new database.

    Return pytest's exit code and output.
    """
    database = f"mutation_{next(_number)}"
    sql(server, f"CREATE DATABASE {database}")
    dsn = server.set(database=database).render_as_string(hide_password=False)
    options = ["-q", "-x", "--no-header", "--tb=short", "-p", "no:cacheprovider"]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # Each copy includes the bytecode of the unmutated project, which saves half of the time.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    variables["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # no test needs a plugin
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", *options, "--partitioned", dsn, *tests],
            cwd=folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIME_LIMIT,
        )
    except subprocess.TimeoutExpired:
        return -1, f"The tests took more than {TIME_LIMIT} seconds."
    return ended.returncode, ended.stdout


class Runner:
    """A copy of the project, to copy again for each mutation, and a Postgres for each worker."""

    def __init__(self, folder: Path, servers: Sequence[URL]) -> None:
        self._folder = folder
        self._servers: SimpleQueue[URL] = SimpleQueue()
        for server in servers:
            self._servers.put(server)
        self._original = folder / "original"
        ignored = (ROOT / ".gitignore").read_text().replace("/", "").split()
        shutil.copytree(ROOT, self._original, ignore=shutil.ignore_patterns(".git", *ignored))

    def test_original(self, mutations: Sequence[Mutation]) -> str | None:
        """Run the tests of all mutations without a mutation. Return the output if one fails."""
        tests = {test for each in mutations for test in arguments(each, self._original)}
        code, output = self._run(self._original, sorted(tests))
        return None if code == ALL_PASSED else output

    def test(self, mutation: Mutation) -> tuple[str, str]:
        """Make one mutation, run its tests, and return the result and pytest's output."""
        copy = self._folder / mutation.name
        shutil.copytree(self._original, copy)
        try:
            path, text = mutated(mutation, copy)
            path.write_text(text)
            shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)
            code, output = self._run(copy, arguments(mutation, copy))
        finally:
            shutil.rmtree(copy)
        if code == SOME_FAILED and FAILED.search(output):
            return CAUGHT, output
        return "SURVIVED" if code == ALL_PASSED else f"BROKEN (pytest ended with {code})", output

    def _run(self, folder: Path, tests: Sequence[str]) -> tuple[int, str]:
        server = self._servers.get()
        try:
            return run_tests(folder, tests, server)
        finally:
            self._servers.put(server)


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def main(parts: Sequence[str]) -> int:
    """Run the mutations whose names contain one of `parts`, or all; return the exit code."""
    mutations = [
        each for each in MUTATIONS if not parts or any(part in each.name for part in parts)
    ]
    if not mutations:
        say(f"No mutation has {' or '.join(parts)} in its name.")
        return 1
    try:
        for mutation in mutations:
            mutated(mutation, ROOT)
            arguments(mutation, ROOT)
    except NotApplicable as error:
        say(str(error))
        return 1
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mutations-")))
        workers = min(WORKERS, len(mutations))
        servers = [
            stack.enter_context(running_postgres(folder / f"postgres-{number}"))
            for number in range(workers)
        ]
        for server in servers:
            sql(server, "ALTER SYSTEM SET fsync = off")
            sql(server, "SELECT pg_reload_conf()")
        runner = Runner(folder, servers)
        if (output := runner.test_original(mutations)) is not None:
            say(f"{output}\nThese tests don't pass without a mutation.")
            return 1
        say(f"Without a mutation the tests pass. ({time.monotonic() - began:.0f} s)")
        caught = report(runner, mutations, workers)
    say(f"{caught} passed: caught by the tests. {len(mutations) - caught} not caught.")
    say(f"{time.monotonic() - began:.0f} s")
    return 0 if caught == len(mutations) else 1


def report(runner: Runner, mutations: Sequence[Mutation], workers: int) -> int:
    """Run the mutations, print a line for each, and return how many were caught."""
    caught = 0
    with ThreadPoolExecutor(workers) as threads:
        results = threads.map(runner.test, mutations)
        for mutation, (result, output) in zip(mutations, results, strict=True):
            if result == CAUGHT:
                caught += 1
                say(f"{result:<9} {mutation.name:<39} by {FAILED.findall(output)[0]}")
            else:
                say(f"{result:<9} {mutation.name:<39} {mutation.why}")
                say("\n".join(output.splitlines()[-30:]))
    return caught


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
