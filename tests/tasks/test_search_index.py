"""The optional index for searches, on one table and on a partitioned one.

Also the warning about a locale that has no upper and lower case beyond ASCII.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from postgres.letter_case import NO_CASE
from tasks import queries
from tests.support.postgres_servers import postgres_versions, temporary_postgres
from tests.support.psql import run_script
from tests.support.services import create_tables, database_of_its_own, recorded_messages, service
from tests.support.services import sql as run_sql

pytestmark = pytest.mark.slow

DEBIAN = Path("/usr/lib/postgresql")
FILL = """
INSERT INTO tasks (user_id, title, description)
SELECT CASE WHEN n % 20 = 0 THEN 'alice' ELSE 'user_' || n % 500 END, md5(n::text),
    CASE WHEN n % 2 = 0 THEN 'ÉTÉ ' || md5((-n)::text) END
FROM generate_series(1, 60000) AS n
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    versions = [v for v, folder in postgres_versions().items() if folder.is_relative_to(DEBIAN)]
    if not versions:
        pytest.skip("pg_trgm is missing: apt-get install postgresql")
    programs = postgres_versions()[versions[0]]
    with temporary_postgres(programs, tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture(params=[False, True], ids=["one table", "partitions"])
def indexed(server: URL, request: pytest.FixtureRequest) -> Iterator[URL]:
    run_sql(server, "CREATE DATABASE search TEMPLATE template0 LOCALE 'C.UTF-8' ENCODING 'UTF8'")
    url = server.set(database="search")
    create_tables(url)
    run_sql(url, FILL)
    if request.param:
        run_script(url, "partition.sql").check_returncode()
    yield url
    run_sql(server, "DROP DATABASE search WITH (FORCE)")


def plan_of(url: URL, q: str) -> str:
    sql = queries.list_tasks("all", "created", "desc", after=False, search=True).sql
    values = {"user_id": "'alice'", "limit": "51", "q": f"'{queries.pattern(q)}'"}
    return "\n".join(line for (line,) in run_sql(url, "EXPLAIN ANALYZE " + sql % values))


def test_a_search_uses_the_index_and_finds_the_same_tasks(indexed: URL) -> None:
    words = ("a1b2", "été", "no such task", "e", "ab", "-", "é", "%", "ÉTÉ F")
    with service(indexed) as client:

        def found() -> list[object]:
            return [client.get("/api/alice/tasks", params={"q": q}).json() for q in words]

        before = found()
        run_script(indexed, "search.sql").check_returncode()
        assert found() == before
    for q in ("a1b2c", "no such task"):
        assert re.search(r"Index Cond: .*~~", plan_of(indexed, q)), q
    for q in ("e", "ab", "-"):  # without a trigram, the whole index would be read
        assert not re.search(r"Index Cond: .*~~", plan_of(indexed, q)), q
    run_script(indexed, "search.sql").check_returncode()  # running it again does no harm


@pytest.mark.parametrize(("locale", "is_warned"), [("C", True), ("C.UTF-8", False)])
def test_a_locale_without_case_is_logged(server: URL, locale: str, is_warned: bool) -> None:
    with database_of_its_own(server) as url:
        if locale == "C":
            target = url
        else:
            run_sql(
                server,
                f"CREATE DATABASE cased TEMPLATE template0 LOCALE '{locale}' ENCODING 'UTF8'",
            )
            target = url.set(database="cased")
            create_tables(target)
        with recorded_messages() as messages, service(target) as client:
            assert client.get("/health").status_code == 200
            time.sleep(0.5)  # until the check at the start is over
        assert messages.count(NO_CASE) == is_warned
        if locale != "C":
            run_sql(server, "DROP DATABASE cased WITH (FORCE)")
