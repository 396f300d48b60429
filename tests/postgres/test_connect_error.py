"""The reason why a connection attempt failed, and whether to retry it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg2
import pytest
from sqlalchemy.engine import URL

from postgres import driver
from postgres.connect_error import ConnectError, is_transient
from tests.postgres.sessions import Run
from tests.support.services import sql


async def failure(**parameters: Any) -> ConnectError:
    with pytest.raises(ConnectError) as error:
        await driver.connect(**parameters)
    return error.value


def parameters(url: URL, **others: Any) -> dict[str, Any]:
    return {"host": url.query["host"], "user": "postgres", "dbname": url.database, **others}


@asynccontextmanager
async def peer(response: bytes) -> AsyncIterator[dict[str, Any]]:
    """Run a peer that responds to the first message with these bytes, and closes."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(response)
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield {"host": "127.0.0.1", "port": port, "user": "u", "sslmode": "disable"}


def fatal(severity: str, sqlstate: str, message: str, encoding: str) -> bytes:
    fields = [b"S" + severity.encode(encoding), b"VFATAL", b"C" + sqlstate.encode()]
    body = b"\0".join([*fields, b"M" + message.encode(encoding), b"", b""])
    return b"E" + (len(body) + 4).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    ("others", "sqlstate"), [({"dbname": "absent"}, "3D000"), ({"user": "absent"}, "28000")]
)
def test_an_unknown_database_or_role_is_not_retried(
    run: Run, url: URL, others: dict[str, str], sqlstate: str
) -> None:
    async def work() -> None:
        error = await failure(**parameters(url, **others))
        assert (error.sqlstate, is_transient(error)) == (sqlstate, False)
        assert '"absent" does not exist' in str(error)

    run(work())


def test_too_many_connections_is_retried(run: Run, url: URL) -> None:
    sql(url, "DROP ROLE IF EXISTS limited")
    sql(url, "CREATE ROLE limited LOGIN CONNECTION LIMIT 0")

    async def work() -> None:
        error = await failure(**parameters(url, user="limited"))
        assert (error.sqlstate, is_transient(error)) == ("53300", True)

    run(work())
    sql(url, "DROP ROLE limited")


@pytest.mark.parametrize(
    ("severity", "sqlstate", "message", "encoding", "transient"),
    [
        ("FATAL", "57P03", "the database system is starting up", "ascii", True),
        ("FATAL", "28P01", "Passwort-Authentifizierung für Benutzer »u«", "latin-1", False),
        ("ВАЖНО", "28P01", "пользователь не прошёл проверку", "koi8-r", False),
        ("ВАЖНО", "57P03", "система баз данных запускается", "koi8-r", True),
        ("ÖLÜMCÜL (FATAL)", "28000", "rol yok", "utf-8", False),
        ("致命错误", "3D000", 'database "x:  57P03: " does not exist', "utf-8", False),
        # PgBouncer's
        ("FATAL", "08P01", "SASL authentication failed", "ascii", False),
        ("FATAL", "08P01", "password authentication failed", "ascii", False),
        ("FATAL", "08P01", "no such database: nodb", "ascii", False),
        ("FATAL", "08P01", "pgbouncer cannot connect to server", "ascii", True),
        (
            "FATAL",
            "08P01",
            "server login has been failing, cached error: connect failed",
            "ascii",
            True,
        ),
        ("FATAL", "08P01", "no more connections allowed (max_client_conn)", "ascii", True),
        ("FATAL", "08P01", "the database system is starting up", "ascii", True),
    ],
)
def test_whether_an_error_of_the_server_is_retried(
    run: Run, severity: str, sqlstate: str, message: str, encoding: str, transient: bool
) -> None:
    async def work() -> None:
        async with peer(fatal(severity, sqlstate, message, encoding)) as address:
            error = await failure(**address)
        assert (error.sqlstate, is_transient(error)) == (sqlstate, transient)

    run(work())


@pytest.mark.parametrize(
    "response",
    [b"", b"\xff" * 400, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"E\0\0\0\x08\xff\xfe\xfd\xfc", b"R"],
    ids=["nothing", "bytes", "HTTP", "a short error", "half a message"],
)
def test_a_peer_that_does_not_speak_the_protocol_is_a_connect_error(
    run: Run, response: bytes
) -> None:
    async def work() -> None:
        async with peer(response) as address:
            error = await failure(**address)
        assert (error.sqlstate, is_transient(error)) == (None, True)
        assert str(error)

    run(work())


def test_a_refused_connection_is_retried(run: Run) -> None:
    async def work() -> None:
        error = await failure(host="127.0.0.1", port=9, user="u")
        assert (error.sqlstate, is_transient(error)) == (None, True)

    run(work())


def test_the_text_of_a_statements_error_has_no_sqlstate(run: Run, url: URL) -> None:
    async def work() -> None:
        connection = await driver.connect(**parameters(url))
        with pytest.raises(psycopg2.Error) as error:
            await connection.fetch("SELECT 1 / 0")
        assert str(error.value) == "division by zero\n"
        connection.close()

    run(work())


def test_a_timeout_is_not_retried() -> None:
    assert not is_transient(TimeoutError())
