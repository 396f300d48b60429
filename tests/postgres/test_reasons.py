"""The reason why a database can't be used is logged once, as a real server states it."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from sqlalchemy.engine import URL

import condition
from database import Database
from errors import DatabaseNotMigrated, DatabaseUnavailable
from postgres import driver
from postgres.connect_error import MAX_SENTENCE, ConnectError, kind, sentence
from tests.support.postgres_servers import give, postgres_versions, temporary_postgres
from tests.support.processes import free_port
from tests.support.services import database_of_its_own, recorded_messages, service, sql
from tests.support.tcp_proxy import STARTING_UP, WRONG_PASSWORD, proxy

SECRET = "se-cret"
HBA = """\
local     all postgres              trust
hostssl   all tls      127.0.0.1/32 scram-sha-256
host      all plain    127.0.0.1/32 scram-sha-256
hostnossl all limited  127.0.0.1/32 trust
"""

Act = Callable[[URL], URL]


def server(folder: Path, *, tls: bool) -> Any:
    """Return the port and the context manager of a Postgres with or without TLS."""
    files = folder / "files"
    files.mkdir(mode=0o755)
    certificate = trustme.CA().issue_cert("localhost")
    give(files / "hba", HBA)
    give(files / "key", certificate.private_key_pem.bytes().decode())
    give(files / "certificate", certificate.cert_chain_pems[0].bytes().decode())
    settings = {"listen_addresses": "127.0.0.1", "port": free_port(), "hba_file": files / "hba"}
    if tls:
        settings |= {
            "ssl": "on",
            "ssl_key_file": files / "key",
            "ssl_cert_file": files / "certificate",
        }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    programs = next((each for each in postgres_versions().values() if _is_debians(each)), None)
    if programs is None:
        pytest.skip("needs Debian's postgresql: the wheel's is built without TLS")
    return settings["port"], temporary_postgres(programs, folder, *options)


def _is_debians(programs: Path) -> bool:
    return programs.is_relative_to("/usr/lib/postgresql")


@pytest.fixture(scope="module", params=[True, False], ids=["with TLS", "without TLS"])
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    folder = tmp_path_factory.mktemp("server")
    folder.chmod(0o755)
    port, running = server(folder, tls=request.param)
    with running as url:
        superuser = url.set(port=port)
        for role in ("tls", "plain", "limited"):
            sql(superuser, f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'")
        sql(superuser, "ALTER ROLE limited CONNECTION LIMIT 0")
        sql(superuser, "REVOKE CONNECT ON DATABASE template1 FROM PUBLIC")
        yield URL.create("postgresql", "plain", SECRET, "127.0.0.1", port, "postgres")


def has_tls(request: pytest.FixtureRequest) -> bool:
    return "with TLS" in request.node.name.partition("[")[2].split("-")[0]


# By fault: how to cause it, the class and the words in the log, and whether TLS is needed.
CASES: dict[str, tuple[Act, str, str, bool | None]] = {
    "a wrong password": (
        lambda url: url.set(password="wrong"),
        "authentication",
        'password authentication failed for user "plain"',
        None,
    ),
    "no password": (
        lambda url: URL.create("postgresql", "plain", None, url.host, url.port, "postgres"),
        "authentication",
        "no password supplied",
        None,
    ),
    "an unknown role": (
        lambda url: url.set(username="nobody"),
        "authentication",
        'user "nobody"',
        True,
    ),
    "an unknown role without TLS": (
        lambda url: url.set(username="nobody"),
        "TLS or authentication",
        'user "nobody"',
        False,
    ),
    "a missing database": (
        lambda url: url.set(database="absent"),
        "no such database",
        'database "absent" does not exist',
        None,
    ),
    "no right to connect": (
        lambda url: url.set(database="template1"),
        "permission",
        "permission denied",
        None,
    ),
    "a closed port": (lambda url: url.set(port=9), "refused", "Connection refused", None),
    "an unknown host": (
        lambda url: url.set(host="host.invalid"),
        "DNS",
        '"host.invalid" has no address',
        None,
    ),
    "no socket": (
        lambda url: URL.create("postgresql", "plain", query={"host": "/tmp/nowhere"}),
        "refused",
        "No such file or directory",
        None,
    ),
    "TLS that the server lacks": (
        lambda url: url.set(query={"sslmode": "require"}),
        "TLS",
        "server does not support SSL, but SSL was required",
        False,
    ),
    "TLS that the client refuses": (
        lambda url: url.set(username="tls", query={"sslmode": "disable"}),
        "TLS or authentication",
        "no encryption",
        True,
    ),
    "a certificate of an unknown authority": (
        lambda url: url.set(query={"sslmode": "verify-full", "sslrootcert": "system"}),
        "TLS",
        "certificate verify failed",
        True,
    ),
    "a parameter that is refused": (
        lambda url: url.set(query={"options": "-c nonsense=1"}),
        "refused parameter",
        'unrecognized configuration parameter "nonsense"',
        None,
    ),
    "a value that is refused": (
        lambda url: url.set(query={"options": "-c work_mem=nonsense"}),
        "refused parameter",
        'invalid value for parameter "work_mem"',
        None,
    ),
    "too many connections": (
        lambda url: url.set(username="limited", query={"sslmode": "disable"}),
        "too many connections",
        'too many connections for role "limited"',
        None,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("act", "kind_", "words", "tls"), CASES.values(), ids=CASES)
def test_the_reason_is_logged_once_with_its_class_and_without_a_secret(
    real: URL,
    act: Act,
    kind_: str,
    words: str,
    tls: bool | None,
    request: pytest.FixtureRequest,
) -> None:
    if tls is not None and tls != has_tls(request):
        pytest.skip("the fault needs the other server")
    with recorded_messages() as messages:
        asyncio.run(tried(act(real)))
    [message] = messages
    assert message.startswith(f"The database can't be used ({kind_}): ")
    assert words in message
    assert "\n" not in message
    assert SECRET not in message
    assert "LOCATION" not in message


async def tried(url: URL) -> None:
    """Connect for the health check and for requests, twice each."""
    database = Database(url, 2)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await database.condition.check()
        with pytest.raises(DatabaseUnavailable):
            await database.connection(0.1, fresh=False)
    await database.close()


@contextmanager
def silent() -> Iterator[URL]:
    """Run a server that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield URL.create("postgresql", "u", SECRET, *listener.getsockname())


def test_a_silent_server_is_logged_as_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condition, "HEALTH_TIMEOUT", 0.1)
    monkeypatch.setattr(driver, "CONNECT_TIMEOUT", 0.3)
    with silent() as url, recorded_messages() as messages:
        asyncio.run(tried(url))
    assert messages == ["The database can't be used (timeout): it does not respond in time"]


def test_each_change_of_the_reason_and_the_recovery_are_logged(
    postgres: URL,
) -> None:
    """The database stays up; the proxy in front of it fails in different ways."""
    kinds = ["refused", "authentication", "starting or stopping", "authentication"]
    with (
        database_of_its_own(postgres) as url,
        proxy(url) as way,
        recorded_messages() as messages,
        service(way.url, db_pool_size=1) as client,
    ):
        changes = [
            way.close,
            *(
                lambda error=error: way.fail(error)
                for error in (WRONG_PASSWORD, STARTING_UP, WRONG_PASSWORD)
            ),
        ]
        for change in changes:
            change()
            for _ in range(2):
                assert client.get("/health").status_code == 503
        way.open()
        for _ in range(2):
            assert client.get("/health").status_code == 200
    causes = [message for message in messages if message.startswith("The database can't")]
    assert [cause.partition("(")[2].partition(")")[0] for cause in causes] == kinds
    assert messages.count("The database accepts connections again") == 1


@contextmanager
def hanging_checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each check of the database hang, until its time limit of 0.2 s."""

    async def hang(_: object) -> None:
        await asyncio.sleep(9)

    with monkeypatch.context() as patch:
        patch.setattr(condition, "find_obstacle", hang)
        patch.setattr(condition, "HEALTH_TIMEOUT", 0.2)
        yield


def test_a_check_that_hangs_behind_a_pooler_is_logged_once(
    postgres: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connecting succeeds each time, which does not count as a recovery."""

    async def work() -> None:
        database = Database(postgres, 1)
        with hanging_checks(monkeypatch):
            for _ in range(3):
                with pytest.raises(DatabaseUnavailable):
                    await database.condition.check()
        with suppress(DatabaseNotMigrated):
            await database.condition.check()
        await database.close()

    with recorded_messages() as messages:
        asyncio.run(work())
    assert messages[:2] == [
        "The database can't be used (timeout): it does not respond in time",
        "The database responds again",
    ]


def test_a_server_that_hangs_is_logged_once(postgres: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check hangs on its open connection, and the pool's new connections hang too."""

    async def work() -> None:
        database = Database(postgres, 1)
        with hanging_checks(monkeypatch):
            for _ in range(2):
                with pytest.raises(DatabaseUnavailable):
                    await database.condition.check()
                database.condition.not_connected(TimeoutError())
        database.condition.not_connected(OSError("Connection refused"))
        await database.close()

    with recorded_messages() as messages:
        asyncio.run(work())
    begins = [message.partition(":")[0] for message in messages]
    assert begins.count("The database can't be used (timeout)") == 1
    assert len(begins) == 2, messages


def test_a_later_hang_is_logged_although_one_connection_attempt_timed_out_before(
    postgres: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool may not need that connection any more, so nothing says that connecting works."""

    async def work() -> None:
        database = Database(postgres, 1)
        database.condition.not_connected(TimeoutError())
        with suppress(DatabaseNotMigrated):
            await database.condition.check()
        with hanging_checks(monkeypatch), pytest.raises(DatabaseUnavailable):
            await database.condition.check()
        await database.close()

    with recorded_messages() as messages:
        asyncio.run(work())
    begins = [message.partition(":")[0] for message in messages]
    assert begins.count("The database can't be used (timeout)") == 2, messages


def error(text: str) -> ConnectError:
    return ConnectError(Exception(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('server at "password-db", port 5432 failed: Connection refused', "refused"),
        ("x failed: FATAL:  08P01: unsupported startup parameter: options", "refused parameter"),
        ('x failed: invalid integer value "1s" for connection option "a"', "refused parameter"),
        ("could not match 1 host names to 2 hostaddr values", "refused parameter"),
        ("x failed: FATAL:  08P01: no more connections allowed", "too many connections"),
        # PgBouncer passes on the server's messages, with a SQLSTATE of its own.
        ('x failed: FATAL:  08P01: database "d" does not exist', "no such database"),
        ('x failed: FATAL:  08P01: role "r" does not exist', "authentication"),
        ('x failed: FATAL:  08P01: role "r" is not permitted to log in', "authentication"),
        ('x failed: FATAL:  08P01: permission denied for database "d"', "permission"),
        ("x failed: FATAL:  08P01: the database system is shutting down", "starting or stopping"),
        (
            'x failed: FATAL:  08P01: database "d" is not currently accepting connections',
            "not accepting connections",
        ),
        ("x failed: server closed the connection unexpectedly", "closed"),
        ("x failed: FATAL:  53200: out of memory", "out of resources"),
        ("x failed: ERROR:  57014: canceling statement due to statement timeout", "timeout"),
        ("x failed: FATAL:  57P03: the database system is starting up", "starting or stopping"),
        ("x failed: Network is unreachable", "unreachable"),
        ("x failed: received invalid response to SSL negotiation: H", "not PostgreSQL"),
        ("x failed: something new", "connection"),
    ],
)
def test_the_class_is_derived_from_the_error_text(text: str, expected: str) -> None:
    assert kind(error(text)) == expected


def test_the_sentence_is_one_line_of_bounded_length() -> None:
    text = (
        "a failed: FATAL:  28P01: no\nLOCATION:  auth_failed, auth.c:331\n\tIs it there?\nb: no\n"
    )
    assert sentence(error(text)) == "a failed: FATAL: no; b: no"
    assert len(sentence(error("x\n" + "long " * 1000))) == MAX_SENTENCE


def test_a_secret_that_a_peer_echoes_is_not_logged(postgres: URL) -> None:
    database = Database(postgres.set(password=SECRET), 1)
    with recorded_messages() as messages:
        database.condition.not_connected(error(f"HTTP/1.1 400 {SECRET}"))
    assert messages == ["The database can't be used (connection): HTTP/1.1 400 ***"]
