"""The core of the suite on a real Citus cluster, with tables distributed by user_id.

CITUS_URL is the URL of a database on the coordinator, for a superuser. The database must have the
extension and no table `tasks`. The tests drop their tables afterwards:

    CITUS_URL=postgresql://postgres:…@127.0.0.1:9700/citus scripts/test-slow tests/test_citus.py
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import URL, make_url

from config import ROOT
from tests.support.processes import environment, sources
from tests.support.services import sql

SCRIPT = ROOT / "migrations/distribute.sql"
CORE = (
    "test_tasks.py",
    "tasks/test_pagination.py",
    "test_validation.py",
    "tasks/test_races.py",
    "test_auth.py",
    "routing/test_body_limit.py",
    "tasks/test_conditional.py",
    "tasks/test_idempotency.py",
    "tasks/test_stats.py",
    "tasks/test_deletion.py",
    "tasks/test_volatility.py",
)
WHOLE = "DROP TABLE IF EXISTS tasks, idempotency_keys, alembic_version"
CITUS_URL = os.environ.get("CITUS_URL")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CITUS_URL, reason="CITUS_URL is not set, so there is no Citus to try"),
]


@pytest.fixture(scope="module")
def distributed() -> Iterator[URL]:
    """The database with distributed tables, and rows that existed before the distribution."""
    url = make_url(CITUS_URL or "")
    assert sql(url, "SELECT to_regclass('tasks')") == [(None,)], "name a database without tasks"
    dsn = url.render_as_string(hide_password=False)
    try:
        command = [sys.executable, "-m", "alembic", "upgrade", "head"]
        subprocess.run(command, cwd=sources(), env=environment(database_url=dsn), check=True)
        sql(url, "INSERT INTO tasks (user_id, title) SELECT n, n FROM generate_series(1, 500) AS n")
        distribute(dsn)
        yield url
    finally:
        sql(url, WHOLE)
        sql(url, "DROP FUNCTION IF EXISTS tasks_next_update(timestamptz)")


def distribute(dsn: str) -> None:
    """Run the script as its first lines say."""
    psql = shutil.which("psql")
    assert psql, "psql is missing: apt-get install postgresql-client"
    options = ["--set", "ON_ERROR_STOP=1", "--quiet", "--file", str(SCRIPT)]
    subprocess.run([psql, "-X", "--output=/dev/null", dsn, *options], check=True)


def test_both_tables_are_distributed_and_keep_their_rows(distributed: URL) -> None:
    tables = "SELECT table_name::text, distribution_column FROM citus_tables ORDER BY 1"
    assert sql(distributed, tables) == [("idempotency_keys", "user_id"), ("tasks", "user_id")]
    assert sql(distributed, "SELECT count(*), count(DISTINCT id) FROM tasks") == [(500, 500)]


def test_the_core_of_the_suite_passes_on_distributed_tables(distributed: URL) -> None:
    dsn = distributed.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-cov"]
    ended = subprocess.run(
        [*command, "--partitioned", dsn, *(f"tests/{name}" for name in CORE)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ended.returncode == 0, ended.stdout[-3000:]
    passed = re.search(r"(\d+) passed", ended.stdout)
    assert passed is not None
    assert int(passed[1]) > 300
    shards = "SELECT count(DISTINCT nodename || nodeport) FROM citus_shards WHERE shard_size > 0"
    assert sql(distributed, shards) > [(1,)]  # the cluster has several nodes


def test_a_page_is_read_from_an_index_of_one_shard(distributed: URL) -> None:
    plan = sql(
        distributed,
        "EXPLAIN SELECT * FROM tasks WHERE user_id = '7' ORDER BY created_at, id LIMIT 9",
    )
    text = "\n".join(line for (line,) in plan)
    assert "Task Count: 1" in text
    assert "Index Scan" in text or "Seq Scan" in text  # a shard of 500 tasks is small
