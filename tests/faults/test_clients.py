"""Clients that misbehave, and one that behaves and must be served at the same time."""

import asyncio
import random
import resource
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.faults import report
from tests.faults.conftest import Serve
from tests.faults.load import TASKS
from tests.faults.servers import Postgres
from tests.faults.wire import Answer, Connection, answer, request
from tests.support.processes import Service, until

MILK = {"title": "Buy milk"}
OURS = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'task-management-api' AND (state <> 'idle' OR %s)
"""
POOL = 10 + 20 + 1  # connections of the pool, and the health check's

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def memory(service: Service) -> float:
    """Return the resident memory in MB of 10^6 bytes."""
    return float(psutil.Process(service.process.pid).memory_info().rss / 1e6)


def peak(service: Service) -> float:
    """Return the peak memory since `forget_peak`, in MB."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def forget_peak(service: Service) -> None:
    Path(f"/proc/{service.process.pid}/clear_refs").write_text("5")  # proc(5)


async def opened(service: Service) -> Streams:
    return await asyncio.open_connection("127.0.0.1", service.port)


def assert_whole(service: Service, database: Postgres, services: int = 1) -> None:
    """Assert that the service serves requests, and that no statement or connection is stuck.

    `services` is the number of services on the database, including this one.
    """
    with service.client() as client:
        for _ in range(2 * POOL):
            assert client.get(f"{TASKS}?limit=1").status_code == 200
        assert client.get("/health").status_code == 200
    until(lambda: database.sql(OURS, False) == [(0,)], "the last statement", 10)
    [(connections,)] = database.sql(OURS, True)
    assert int(str(connections)) <= services * POOL


async def good_client(service: Service, misbehaving: Awaitable[None]) -> Counter[int]:
    """Send 20 requests a second while the others misbehave; return the statuses."""
    answers: Counter[int] = Counter()
    others = asyncio.ensure_future(misbehaving)
    connection, text = Connection(service.port), request("GET", f"{TASKS}?limit=1")
    while not others.done():
        answers[(await connection.ask(text)).status] += 1
        await asyncio.sleep(0.05)
    connection.close()
    await others
    return answers


@pytest.fixture
def among(service: Service, database: Postgres) -> Callable[..., None]:
    """A function that runs misbehaving clients alongside a good one, and reports what both saw."""

    def among(done: str, misbehaving: Callable[[], Awaitable[dict[str, object]]]) -> None:
        seen: dict[str, object] = {}

        async def work() -> None:
            seen.update(await misbehaving())

        forget_peak(service)
        before = memory(service)
        good = asyncio.run(good_client(service, work()))
        grown = peak(service) - before
        assert_whole(service, database)
        report.remark(
            done,
            seen
            | {"growth of memory, MB": grown, "responses to the well-behaved client": dict(good)},
            "the well-behaved client was always served",
        )
        assert set(good) == {200}
        assert grown < 60

    return among


def test_clients_that_disconnect_at_any_byte(
    among: Callable[..., None], service: Service, database: Postgres
) -> None:
    """Each write happens wholly or not at all, and is logged if its client missed the response."""
    text = request("POST", TASKS, "mallory", {"title": "Buy milk"}).replace(b"alice", b"mallory")
    dice = random.Random(4)
    cuts = [*range(1, len(text)), *[len(text)] * 200]

    async def leave(cut: int) -> None:
        with suppress(OSError):
            _, writer = await opened(service)
            writer.write(text[:cut])
            await writer.drain()
            await asyncio.sleep(dice.random() * 0.004)
            writer.transport.abort()

    async def misbehaving() -> dict[str, object]:
        for start in range(0, len(cuts), 20):
            await asyncio.gather(*(leave(cut) for cut in cuts[start : start + 20]))
        await asyncio.sleep(0.5)
        rows = database.sql("SELECT count(*) FROM tasks WHERE user_id = 'mallory'")
        [(made,)] = rows
        assert 0 <= int(str(made)) <= 200
        log = "\n".join(service.lines)
        assert "Traceback" not in log
        assert "disconnected before the response" in log
        told = log.count("but the client disconnected before the response")
        return {
            "requests": len(cuts),
            "tasks created": made,
            "log lines about the disconnections": told,
        }

    among(
        "clients disconnect after each byte of a POST, and 200 more after its last byte",
        misbehaving,
    )


async def trickled(streams: Streams, text: bytes) -> tuple[float, Answer | None]:
    """Send a byte a second; return the seconds until the connection ends, and the response."""
    reader, writer = streams
    began = time.monotonic()
    sending = asyncio.ensure_future(trickle(writer, text))
    try:
        async with asyncio.timeout(40):
            got = await answer(reader)
            return time.monotonic() - began, got
    except (OSError, EOFError):  # a TimeoutError is an OSError
        return time.monotonic() - began, None
    finally:
        sending.cancel()
        writer.transport.abort()


async def trickle(writer: asyncio.StreamWriter, text: bytes) -> None:
    with suppress(OSError):
        for byte in text:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(1)


def test_clients_that_send_a_byte_a_second(among: Callable[..., None], service: Service) -> None:
    """There are more of them than database connections and places in the queue together."""
    text = request("POST", TASKS, "alice", MILK)
    head, _, body = text.partition(b"\r\n\r\n")

    async def one(sent: bytes, rest: bytes) -> tuple[float, Answer | None]:
        streams = await opened(service)
        streams[1].write(sent)
        return await trickled(streams, rest)

    async def misbehaving() -> dict[str, object]:
        heads = [one(b"", text) for _ in range(200)]
        bodies = [one(head + b"\r\n\r\n", body + b" " * 40) for _ in range(200)]
        ends = await asyncio.gather(*heads, *bodies)
        statuses = Counter(got.status if got else 0 for _, got in ends)
        slowest = max(seconds for seconds, _ in ends)
        assert statuses == {408: 400}
        assert all(got and got.json["code"] == "REQUEST_TIMEOUT" for _, got in ends)
        assert slowest < 20
        return {"responses to them": dict(statuses), "seconds until the last": slowest}

    among("400 clients send one byte a second: 200 in the head, 200 in the body", misbehaving)


def test_clients_that_never_read_the_response(
    among: Callable[..., None], service: Service, database: Postgres
) -> None:
    """Each requests 20 MB and reads none of it."""
    fill = (
        "INSERT INTO tasks (user_id, title, description)"
        " SELECT 'hoarder', 'Task ' || n, repeat('d', 1000) FROM generate_series(1, 16000) AS n"
    )
    database.sql(fill)
    text = request("GET", "/api/hoarder/tasks", "hoarder")

    async def misbehaving() -> dict[str, object]:
        deaf = [await opened(service) for _ in range(20)]
        for _, writer in deaf:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(text)
        began = time.monotonic()
        process = psutil.Process(service.process.pid)
        listener_and_good_client = 2
        while len(process.net_connections("tcp")) > listener_and_good_client:
            assert time.monotonic() - began < 60
            await asyncio.sleep(1)
        took = time.monotonic() - began
        for _, writer in deaf:
            writer.transport.abort()
        return {"clients": len(deaf), "seconds until they were disconnected": took}

    among("20 clients request 20 MB each and never read", misbehaving)


@pytest.mark.parametrize("framing", ["declared", "chunked"])
def test_clients_that_send_200_mb(
    among: Callable[..., None], service: Service, framing: str
) -> None:
    size, piece = 200_000_000, b" " * 65536
    head = request("POST", TASKS, "alice", b"").replace(
        b"Content-Length: 0",
        b"Content-Length: %d" % size if framing == "declared" else b"Transfer-Encoding: chunked",
    )
    part = piece if framing == "declared" else b"10000\r\n" + piece + b"\r\n"

    async def one(listens: bool) -> tuple[int, int]:
        """Return how many bytes were sent, and the status of the response, or 0."""
        reader, writer = await opened(service)
        writer.write(head)
        answering = asyncio.ensure_future(answer(reader))
        sent = 0
        with suppress(OSError):
            while sent < size and not (listens and answering.done()):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(
                    0
                )  # `drain` alone does not yield while the kernel accepts everything
                sent += len(piece)
        status = 0
        with suppress(OSError, EOFError):
            status = (await answering).status
        writer.transport.abort()
        return sent, status

    async def misbehaving() -> dict[str, object]:
        listening = await asyncio.gather(*(one(True) for _ in range(10)))
        deaf = await asyncio.gather(*(one(False) for _ in range(10)))
        most = max(sent for sent, _ in listening + deaf)
        # A reset may discard the response, most likely for a client that does not stop sending.
        assert {status for _, status in listening + deaf} <= {413, 0}
        assert sum(status == 413 for _, status in listening) > len(listening) / 2
        assert most < 20_000_000
        statuses = Counter(status for _, status in listening + deaf)
        return {"responses to them": dict(statuses), "MB received from each at most": most / 1e6}

    among(f"20 clients send 200 MB each ({framing})", misbehaving)


def accepted(service: Service) -> int:
    """Return how many connections the service has."""
    return len(psutil.Process(service.process.pid).net_connections("tcp"))


def test_five_thousand_connections(among: Callable[..., None], service: Service) -> None:
    """Most are silent; some send a request."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(5000, hard - 1000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    text = request("GET", f"{TASKS}?limit=1")

    async def misbehaving() -> dict[str, object]:
        streams: list[Streams] = []
        for _ in range(count // 100):
            streams += await asyncio.gather(*(opened(service) for _ in range(100)))
        # The kernel has accepted them all; the service may still be accepting them.
        await asyncio.to_thread(until, lambda: accepted(service) >= count, "its connections", 10)
        statuses: Counter[int] = Counter()
        for reader, writer in streams[::10]:
            writer.write(text)
            statuses[(await answer(reader)).status] += 1
        for _, writer in streams:
            writer.transport.abort()
        assert set(statuses) == {200}
        return {"connections": count, "responses to every tenth": dict(statuses)}

    try:
        among("5,000 connections at once", misbehaving)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_connections_than_the_process_may_have_files(serve: Serve, database: Postgres) -> None:
    with serve() as service:
        service.starts()
        psutil.Process(service.process.pid).rlimit(psutil.RLIMIT_NOFILE, (150, 150))

        async def crowd() -> int:
            async def one() -> Streams | None:
                with suppress(OSError):
                    return await opened(service)
                return None

            streams = [got for got in await asyncio.gather(*(one() for _ in range(300))) if got]
            await asyncio.sleep(1)
            for _, writer in streams:
                writer.transport.abort()
            return len(streams)

        taken = asyncio.run(crowd())
        assert service.process.poll() is None
        assert_whole(service, database, services=2)
        assert service.stops() == 0
    report.remark(
        "300 connections to a process that may open 150 files",
        {"connected": taken},
        "it served afterwards, and stopped with exit code 0",
    )
