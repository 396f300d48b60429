"""The service on a table that is hash-partitioned by user_id, and the script that partitions it.

The tests run on the oldest and the newest installed Postgres.
"""

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import product
from typing import Any

import pytest
from psycopg2.extensions import cursor as Cursor
from sqlalchemy.engine import URL

from config import ROOT
from postgres.prepared import Statement
from schemas import Order, Sort, Status
from tasks import queries
from tasks.deletion import STATEMENTS
from tests.support.plans import PLANS, plan_of
from tests.support.postgres_servers import postgres_versions, temporary_postgres
from tests.support.processes import environment, sources
from tests.support.psql import run_script
from tests.support.services import connect, database_of_its_own, sql

pytestmark = pytest.mark.slow

CORE = (
    "test_tasks.py",
    "tasks/test_pagination.py",
    "test_validation.py",
    "tasks/test_races.py",
    "test_auth.py",
    "tasks/test_queries.py",
    "routing/test_body_limit.py",
    "tasks/test_conditional.py",
    "tasks/test_idempotency.py",
    "tasks/test_stats.py",
    "tasks/test_deletion.py",
)
ROWS = "SELECT * FROM tasks ORDER BY id"
FILL = """
INSERT INTO tasks (user_id, title, description, completed, created_at)
SELECT 'user_' || n %% %s, md5(n::text), CASE WHEN n %% 3 = 0 THEN repeat('é', n %% 1000) END,
    n %% 5 = 0, timestamptz '2026-01-01Z' + n * interval '7 minutes'
FROM generate_series(1, %s) AS n
"""
USERS, TASKS = 400, 20_000


VERSIONS = sorted(postgres_versions(), key=int)


@pytest.fixture(scope="module", params=dict.fromkeys((VERSIONS[0], VERSIONS[-1])))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    programs = postgres_versions()[request.param]
    with temporary_postgres(programs, tmp_path_factory.mktemp("server")) as url:
        yield url


@contextmanager
def migrated_database(server: URL) -> Iterator[URL]:
    """A database to which the migrations were applied."""
    with database_of_its_own(server, tables=False) as url:
        dsn = url.render_as_string(hide_password=False)
        command = [sys.executable, "-m", "alembic", "upgrade", "head"]
        subprocess.run(command, cwd=sources(), env=environment(database_url=dsn), check=True)
        yield url


@contextmanager
def filled_database(server: URL) -> Iterator[URL]:
    with migrated_database(server) as url:
        sql(url, FILL, USERS, TASKS)
        sql(url, "DELETE FROM tasks WHERE id > %s - 10 OR id %% 1000 = 0", TASKS)
        sql(url, "ANALYZE tasks")
        yield url


@pytest.fixture
def migrated(server: URL) -> Iterator[URL]:
    with migrated_database(server) as url:
        yield url


@pytest.fixture
def filled(server: URL) -> Iterator[URL]:
    with filled_database(server) as url:
        yield url


@pytest.fixture(scope="module")
def partitioned(server: URL) -> Iterator[URL]:
    """A partitioned table in which user_0 has half of the tasks."""
    with filled_database(server) as url:
        partition(url)
        sql(url, FILL, 1, TASKS)
        sql(url, "VACUUM ANALYZE tasks")
        yield url


def partition(url: URL) -> None:
    run_script(url, "partition.sql").check_returncode()


def test_the_core_of_the_suite_passes_on_a_partitioned_table(migrated: URL) -> None:
    partition(migrated)
    dsn = migrated.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-cov"]
    files = [f"tests/{name}" for name in CORE]
    ended = subprocess.run(
        [*command, "--partitioned", dsn, *files],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stdout[-3000:]
    passed = re.search(r"(\d+) passed", ended.stdout)
    assert passed is not None
    assert int(passed[1]) > 300
    assert "skipped" not in ended.stdout
    # The tests did use the partitioned table, and wrote to all of its partitions.
    [(kind,)] = sql(migrated, "SELECT relkind FROM pg_class WHERE oid = 'tasks'::regclass")
    assert kind == "p"
    used = sql(
        migrated,
        "SELECT count(*) FROM pg_stat_user_tables WHERE relname LIKE 'tasks%' AND n_tup_ins > 0",
    )
    assert used == [(32,)]


def test_partitioning_loses_no_task_and_reuses_no_id(filled: URL) -> None:
    before = sql(filled, ROWS)
    partition(filled)
    assert sql(filled, ROWS) == before != []
    [(new,)] = sql(filled, "INSERT INTO tasks (user_id, title) VALUES ('a', 'b') RETURNING id")
    assert new == TASKS + 1  # the ids of deleted tasks are not used again


def test_a_partitioned_table_has_the_constraints_and_indexes_of_the_models(
    filled: URL, server: URL
) -> None:
    names = "SELECT indexname FROM pg_indexes WHERE tablename = 'tasks' ORDER BY 1"
    rules = """
        SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conrelid = 'tasks'::regclass AND contype = 'c' ORDER BY 1
    """
    columns = """
        SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
        WHERE attrelid = 'tasks'::regclass AND attnum > 0 ORDER BY attname
    """
    partition(filled)
    with database_of_its_own(server) as modelled:
        for question in (names, rules, columns):
            assert sql(filled, question) == sql(modelled, question) != []
    assert sql(filled, "SELECT to_regclass('tasks_id_seq')") == [(None,)]


def test_the_new_table_has_the_schema_the_owner_and_the_row_security_of_the_old_one(
    filled: URL,
) -> None:
    before = sql(filled, ROWS)
    sql(filled, "DROP ROLE IF EXISTS partitioned_owner; CREATE ROLE partitioned_owner")
    sql(filled, "CREATE SCHEMA postgres")  # the first one of the search path
    sql(filled, "GRANT USAGE ON SCHEMA public TO partitioned_owner")
    sql(filled, "ALTER TABLE tasks OWNER TO partitioned_owner, ENABLE ROW LEVEL SECURITY")
    try:
        partition(filled)
        kinds = """
            SELECT DISTINCT relnamespace::regnamespace::text, relowner::regrole::text,
                relrowsecurity, (SELECT count(*) FROM pg_index WHERE indrelid = pg_class.oid)
            FROM pg_class WHERE relname ~ '^tasks(_[0-9]+)?$'
        """
        assert sql(filled, kinds) == [("public", "partitioned_owner", True, 6)]
        as_owner = "SET ROLE partitioned_owner;"
        assert sql(filled, f"{as_owner} {ROWS}") == before
        sql(filled, f"{as_owner} INSERT INTO tasks (user_id, title) VALUES ('a', 'b')")
    finally:
        sql(filled, "DROP OWNED BY partitioned_owner CASCADE; DROP ROLE partitioned_owner")


LACKS = "has policies, triggers, rules or publications"


@pytest.mark.parametrize(
    ("change", "sentence"),
    {
        "CREATE POLICY own ON tasks USING (user_id = 'alice')": LACKS,
        "CREATE TRIGGER audit BEFORE INSERT ON tasks FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()": LACKS,
        "CREATE RULE silent AS ON DELETE TO tasks DO INSTEAD NOTHING": LACKS,
        "CREATE PUBLICATION changes FOR TABLE tasks": LACKS,
        "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY": "row-level",
    }.items(),
)
def test_the_script_refuses_what_it_would_lose(change: str, sentence: str, filled: URL) -> None:
    """Its count of the tasks does not help, because a policy hides tasks from that too."""
    before = sql(filled, ROWS)
    sql(filled, "DROP ROLE IF EXISTS partitioning; CREATE ROLE partitioning LOGIN")
    sql(filled, "GRANT ALL ON SCHEMA public TO partitioning")
    sql(filled, "ALTER TABLE tasks OWNER TO partitioning")
    try:
        sql(filled, change)
        ended = run_script(filled.set(username="partitioning"), "partition.sql")
        assert ended.returncode != 0
        assert sentence in ended.stderr
        assert sql(filled, ROWS) == before
    finally:
        sql(filled, "DROP OWNED BY partitioning CASCADE; DROP ROLE partitioning")


def test_a_script_that_fails_changes_nothing(filled: URL) -> None:
    before = sql(filled, ROWS)
    sql(filled, "CREATE TABLE tasks_31 ()")  # blocks the name of the last partition
    with pytest.raises(subprocess.CalledProcessError):
        partition(filled)
    assert sql(filled, ROWS) == before
    assert sql(filled, "SELECT relkind FROM pg_class WHERE relname = 'tasks'") == [("r",)]


@pytest.fixture
def cursor(partitioned: URL) -> Iterator[Cursor]:
    with closing(connect(partitioned)) as connection, connection.cursor() as cursor:
        yield cursor


@pytest.mark.parametrize("kind", PLANS)
def test_a_page_is_read_from_an_index_of_one_partition_in_order(cursor: Cursor, kind: str) -> None:
    statuses: tuple[Status, ...] = ("all", "pending", "completed")
    sorts: tuple[Sort, ...] = ("created", "title")
    orders: tuple[Order, ...] = ("asc", "desc")
    for status, sort, order in product(statuses, sorts, orders):
        for user_id, after, limit in product(("user_0", "user_7"), (True, False), (1, 50, 1000)):
            key = "2026-02-01T00:00:00Z" if sort == "created" else "8"
            position = {"key": key, "id": 5000} if after else {}
            statement = queries.list_tasks(status, sort, order, after=after)
            values = {"user_id": user_id, "limit": limit + 1, **position}
            plan = plan_of(cursor, statement, values, kind)
            assert re.search(r"-> +Index Scan (Backward )?using tasks_\d+_", plan), plan
            assert len(set(re.findall(r" on (tasks_\d+) ", plan))) == 1, plan
            # A generic plan contains every partition, and skips all but one at execution.
            assert ("Subplans Removed: 31" in plan) == (kind == "generic"), plan
            assert not re.search(r"Sort(?! Key)|Bitmap|Seq Scan", plan), plan
            is_merged = (status, sort) == ("all", "title")
            assert ("Append" in plan) == (is_merged or kind == "generic"), plan


def test_a_batch_is_deleted_from_one_partition(cursor: Cursor) -> None:
    for deletion, user_id in product(STATEMENTS.values(), ("user_0", "user_7")):
        statement = Statement(deletion.sql, defaultdict(lambda: "unknown"))
        plan = plan_of(cursor, statement, {"user_id": user_id}, "custom")
        assert len(set(re.findall(r" on (tasks_\d+)", plan))) == 1, plan
        # The DELETE itself may scan the partition, if the batch is a large part of it.
        chosen = plan[plan.index("CTE chosen") : plan.index("CTE deleted")]
        assert re.search(r"Index (Only )?Scan using tasks_\d+_", chosen), plan


@pytest.mark.parametrize("kind", PLANS)
def test_tasks_are_counted_in_indexes_of_one_partition(cursor: Cursor, kind: str) -> None:
    for user_id in ("user_0", "user_7"):
        plan = plan_of(cursor, queries.STATS, {"user_id": user_id}, kind)
        used = re.findall(r"Index Only Scan using (tasks_\d+)_\S+ on (tasks_\d+)", plan)
        assert len(used) == 2, plan
        assert len({name for pair in used for name in pair}) == 1, plan
        assert plan.count("Scan") == 2, plan


@pytest.mark.parametrize("kind", PLANS)
@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (queries.GET, {}),
        (queries.TOGGLE.always, {}),
        (queries.SET_COMPLETED.always, {"completed": True}),
        (queries.DELETE.always, {}),
        (queries.UPDATE.always, queries.update_values({"title": "x"})),
    ],
)
def test_a_task_is_found_by_the_primary_key_of_one_partition(
    statement: Statement, values: dict[str, Any], kind: str, cursor: Cursor
) -> None:
    plan = plan_of(cursor, statement, {"user_id": "user_7", "task_id": 7, **values}, kind)
    assert re.search(r"Index Scan using tasks_\d+_pkey on tasks_\d+ ", plan), plan
    assert len(set(re.findall(r"using (tasks_\d+_pkey)", plan))) == 1, plan


@pytest.mark.parametrize("kind", PLANS)
def test_the_owner_of_a_task_is_looked_up_in_every_partition(cursor: Cursor, kind: str) -> None:
    values = {"user_id": "user_8", "task_id": 7}
    plan = plan_of(cursor, queries.TASK_BELONGS_TO_OTHER, values, kind)
    assert len(re.findall(r"using tasks_\d+_pkey", plan)) == 32, plan
    assert "Seq Scan" not in plan, plan
