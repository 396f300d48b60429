"""Prepared statements: their names, and the values of their parameters."""

import pytest
from psycopg2 import errors
from sqlalchemy.engine import URL

from postgres.prepared import Statement
from tasks import queries
from tests.postgres.recording import EXECUTE, LIST, PREPARE, Recorded, a_new_task, run
from tests.support.services import sql


def test_a_name_is_a_digest_of_the_statement() -> None:
    """So it is the same in every process. Compare `printf 'AS SELECT 1' | sha256sum`."""
    assert Statement("SELECT 1", {}).name == "task_api_1316dcf86fec90da105aadec"
    assert len(LIST.name) < 64  # Postgres truncates longer names


def test_statements_with_other_text_or_types_have_other_names() -> None:
    names = {
        Statement("SELECT %(a)s", {"a": "TEXT"}).name,
        Statement("SELECT %(a)s", {"a": "BIGINT"}).name,
        Statement("SELECT %(a)s, %(b)s", {"a": "TEXT", "b": "TEXT"}).name,
        Statement("SELECT %(a)s, %(a)s", {"a": "TEXT", "b": "TEXT"}).name,
    }
    assert len(names) == 4
    renamed = Statement("SELECT %(b)s", {"a": "BIGINT", "b": "TEXT"}).name
    assert renamed == Statement("SELECT %(a)s", {"a": "TEXT"}).name


TEXTS = [
    *("", "%", "%%", "%s", "%(a)s", "$1", ";", "; DROP TABLE tasks; --", "'", "''", '"', "\\"),
    *("\\'", "E'\\n'", "\n", "🧑‍🧑‍🧒‍🧒", "x" * 100_000, None),
]


@pytest.mark.parametrize("conforming", ["on", "off"])
@pytest.mark.parametrize("enabled", [True, False])
def test_every_value_arrives_unchanged(url: URL, enabled: bool, conforming: str) -> None:
    types = {"text": "TEXT", "list": "TEXT[]", "flag": "BOOLEAN", "number": "BIGINT"}
    echo = "SELECT %(text)s, %(list)s::text[], %(flag)s, %(number)s, '%%(text)s 100%%'"
    statement = Statement(echo, types)
    plain = Statement("SELECT '%%(none)s 100%%', '$1'", {})

    async def scenario(scene: Recorded) -> None:
        connection = await scene.session.database.pool.acquire()
        for text in TEXTS * 2:
            for flag in (True, False, None):
                values = {"text": text, "list": [text], "flag": flag, "number": 2**63 - 1}
                rows = await connection.fetch(statement, values)
                assert rows == [(text, [text], flag, 2**63 - 1, "%(text)s 100%")]
        [row] = await connection.fetch(statement, {**values, "list": []})
        assert row[1] == []
        for _ in range(2):
            assert await connection.fetch(plain) == [("%(none)s 100%", "$1")]
        scene.session.database.pool.release(connection)
        assert set(scene.commands()) == ({PREPARE, EXECUTE} if enabled else {"SELECT"})

    # Servers may set it, and libpq learns the value when a connection opens.
    [(name,)] = sql(url, "SELECT current_database()")
    sql(url, f"ALTER DATABASE {name} SET standard_conforming_strings = {conforming}")
    try:
        run(url, scenario, prepared_statements=enabled)
    finally:
        sql(url, f"ALTER DATABASE {name} RESET standard_conforming_strings")


@pytest.mark.parametrize("enabled", [True, False])
def test_a_title_that_is_too_long_is_refused_and_not_truncated(url: URL, enabled: bool) -> None:
    async def scenario(scene: Recorded) -> None:
        for _ in range(2):
            with pytest.raises((errors.StringDataRightTruncation, errors.CheckViolation)):
                await scene.fetch(queries.CREATE, **a_new_task(title="x" * 201))

    run(url, scenario, prepared_statements=enabled)
