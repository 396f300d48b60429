"""Waiting for a slot: users take turns, no request waits too long, and no slot is lost."""

import asyncio
from collections.abc import Callable
from math import inf

import httpx
import pytest
from sqlalchemy.engine import URL

from database import Database
from errors import DatabaseUnavailable, Overloaded, TooManyRequests
from routing import admission, refusals
from routing.admission import Admission
from routing.fair_queue import FEW
from schemas import TaskQuery
from tasks.pagination import list_json, read_page
from tests.support.clock import run


class Scene:
    """An Admission and the requests of a test. `greedy1` is the first request of user `greedy`."""

    def __init__(self, concurrent: int, max_waiting: int = 100) -> None:
        self.unconnected_at = -inf
        self.admission = Admission(concurrent, max_waiting, lambda: self.unconnected_at)
        self.admitted: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def send(self, *names: str, has_begun: bool = False) -> None:
        """Start requests that ask for a slot, in this order. They keep it until `end`."""
        for name in names:
            task = asyncio.create_task(self._request(name, has_begun))
            # Look at its error. Otherwise asyncio logs it later, maybe during a test of the log.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self.tasks[name] = task
            await self.settle()

    async def _request(self, name: str, has_begun: bool) -> None:
        await self.admission.acquire(name.rstrip("0123456789"), has_begun=has_begun)
        self.admitted.append(name)

    async def settle(self) -> None:
        """Let every request run until it waits or ends."""
        for _ in range(5):
            await asyncio.sleep(0)

    async def end(self, *names: str) -> None:
        """End requests that have a slot, in this order."""
        for name in names:
            self.admission.release(name.rstrip("0123456789"))
            await self.settle()

    async def end_each(self) -> list[str]:
        """End each request as soon as it is admitted, and return the order of admission."""
        for name in self.admitted:  # the list grows meanwhile
            await self.end(name)
        return self.admitted

    def refused(self, error: type[Exception]) -> list[str]:
        """Return the requests that ended with `error`."""
        ended = [(name, task) for name, task in self.tasks.items() if task.done()]
        return [name for name, task in ended if isinstance(task.exception(), error)]


def test_requests_of_one_user_get_slots_in_order_of_arrival() -> None:
    async def scene() -> list[str]:
        scene = Scene(1)
        await scene.send("alice1", "alice2", "alice3", "alice4")
        assert scene.admitted == ["alice1"]
        return await scene.end_each()

    assert run(scene()) == ["alice1", "alice2", "alice3", "alice4"]


def test_users_take_turns() -> None:
    async def scene() -> list[str]:
        scene = Scene(1)
        await scene.send("greedy1", "greedy2", "greedy3", "greedy4", "alice1", "alice2", "bob1")
        return await scene.end_each()

    order = ["greedy1", "greedy2", "alice1", "bob1", "greedy3", "alice2", "greedy4"]
    assert run(scene()) == order


def test_the_user_with_the_fewest_running_requests_is_next() -> None:
    """With turns alone, a user with slow statements could hold nearly all slots."""

    async def scene() -> list[str]:
        scene = Scene(4)
        await scene.send("slow1", "slow2", "slow3", "quick1")
        await scene.send("slow4", "slow5", "quick2", "quick3", "quick4")
        await scene.end("slow1", "quick1", "slow2")
        return scene.admitted[4:]

    assert run(scene()) == ["quick2", "quick3", "slow4"]


def test_users_with_the_same_number_of_running_requests_take_turns() -> None:
    async def scene() -> list[str]:
        scene = Scene(3)
        await scene.send("a1", "b1", "c1", *(f"{user}{n}" for n in (2, 3) for user in "cab"))
        await scene.end("a1", "b1", "c1", "a2", "b2", "c2")
        return scene.admitted[3:]

    assert run(scene()) == ["a2", "b2", "c2", "a3", "b3", "c3"]


def test_a_single_user_gets_every_slot_and_every_place_in_the_queue() -> None:
    async def scene() -> None:
        scene = Scene(3, max_waiting=20)
        await scene.send(*(f"alice{number}" for number in range(24)))
        assert len(scene.admitted) == 3
        assert scene.refused(Overloaded) == ["alice23"]
        await scene.end_each()
        assert len(scene.admitted) == 23

    run(scene())


def test_when_the_queue_is_full_the_user_with_most_requests_loses_the_newest() -> None:
    async def scene() -> None:
        scene = Scene(1, max_waiting=20)
        await scene.send(*(f"greedy{number}" for number in range(12)))
        await scene.send(*(f"busy{number}" for number in range(9)), "alice1", "alice2")
        assert scene.refused(TooManyRequests) == ["greedy10", "greedy11"]
        assert scene.admission.waiting == 20
        assert scene.admission.refusals == 2
        await scene.send("greedy12", "busy9")
        assert scene.refused(TooManyRequests) == ["greedy10", "greedy11", "greedy12", "busy9"]
        await scene.end_each()
        assert {"alice1", "alice2"} < set(scene.admitted)
        assert scene.refused(Overloaded) == []

    run(scene())


def test_many_users_with_few_requests_each_cause_an_overloaded_error() -> None:
    async def scene() -> None:
        scene = Scene(1, max_waiting=12)
        await scene.send("a0", *(f"{user}{number}" for user in "abcd" for number in (1, 2, 3)))
        await scene.send("a4", "e1")
        assert scene.refused(Overloaded) == ["a4", "e1"]
        assert scene.refused(TooManyRequests) == []

    run(scene())


def test_a_page_whose_response_has_begun_is_neither_refused_nor_removed() -> None:
    async def scene() -> None:
        scene = Scene(1, max_waiting=20)
        await scene.send(*(f"greedy{number}" for number in range(20)))
        await scene.send("greedy20", "greedy21", has_begun=True)
        assert scene.admission.waiting == 21
        await scene.send("alice1")
        assert scene.refused(TooManyRequests) == ["greedy19"]
        await scene.end_each()
        assert {"greedy20", "greedy21", "alice1"} < set(scene.admitted)

    run(scene())


def test_a_user_with_few_requests_may_wait_even_if_the_queue_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More requests of the greedy user are waiting than can be served in time."""
    monkeypatch.setattr(admission, "MEASURED", 0.05)

    async def scene() -> None:
        scene = Scene(2)
        await scene.send(*(f"greedy{number}" for number in range(20)))
        await asyncio.sleep(0.1)
        await scene.send("greedy20")
        assert scene.refused(Overloaded) == ["greedy20"]
        await scene.send("alice1", "greedy21")
        assert scene.refused(Overloaded) == ["greedy20"]
        await scene.end_each()
        assert {"alice1", "greedy21"} < set(scene.admitted)

    run(scene())


def test_a_request_that_waits_too_long_is_refused_and_the_next_one_gets_the_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "MAX_WAIT", 0.2)

    async def scene() -> list[str]:
        scene = Scene(1)
        await scene.send("alice1", "bob1")
        await asyncio.sleep(0.1)
        await scene.send("alice2")
        with pytest.raises(DatabaseUnavailable):
            await scene.tasks["bob1"]
        await scene.end("alice1")
        assert scene.admission.timeouts == 1
        return scene.admitted

    assert run(scene()) == ["alice1", "alice2"]


def test_a_user_whose_many_requests_wait_too_long_gets_429s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "MAX_WAIT", 0.1)

    async def scene() -> None:
        scene = Scene(1)
        greedy = [f"greedy{number}" for number in range(FEW + 3)]
        await scene.send("bob1", *greedy, "alice1")
        await asyncio.wait([scene.tasks[name] for name in [*greedy, "alice1"]])
        assert scene.refused(TooManyRequests) == greedy[:3]
        assert scene.refused(DatabaseUnavailable) == [*greedy[3:], "alice1"]
        assert scene.admission.waiting == 0
        await scene.end("bob1")
        await scene.send("alice2")
        assert scene.admitted == ["bob1", "alice2"]

    run(scene())


def test_time_without_a_connection_does_not_count_in_the_measured_pace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "MEASURED", 0.05)

    async def scene() -> None:
        scene, loop = Scene(2), asyncio.get_running_loop()
        await scene.send("alice1", "alice2", "alice3")
        for number in range(4, 10):  # no slot is granted meanwhile
            scene.unconnected_at = loop.time()
            await asyncio.sleep(0.03)
            scene.unconnected_at = loop.time()
            await scene.send(f"alice{number}")
        await asyncio.sleep(0.03)  # with a connection
        await scene.send("alice10")
        assert scene.refused(Overloaded) == []
        await asyncio.sleep(0.03)
        await scene.send("alice11")
        assert scene.refused(Overloaded) == ["alice11"]
        await scene.end_each()
        assert len(scene.admitted) == 10

    run(scene())


def test_requests_that_waited_for_the_database_get_more_time_once_it_is_available(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "MAX_WAIT", 0.15)
    monkeypatch.setattr(admission, "MAX_WAIT_TO_WAKE", (10.0, 10.0))

    async def scene() -> None:
        scene, loop = Scene(1), asyncio.get_running_loop()
        scene.unconnected_at = inf
        await scene.send("bob1", *(f"greedy{number}" for number in range(FEW + 3)), "alice1")
        await asyncio.sleep(0.3)
        assert scene.admission.timeouts == 0
        scene.unconnected_at = loop.time()
        await asyncio.sleep(0.1)
        assert scene.admission.timeouts == 0
        await asyncio.sleep(0.2)
        assert scene.admission.waiting == 0

    run(scene())


def test_requests_that_time_out_without_a_database_get_a_503_and_no_429(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "MAX_WAIT", 0.05)
    monkeypatch.setattr(admission, "MAX_WAIT_TO_WAKE", (0.1, 0.1))

    async def scene() -> None:
        scene = Scene(1)
        scene.unconnected_at = inf
        names = [*(f"greedy{number}" for number in range(FEW + 3)), "alice1"]
        await scene.send("bob1", *names)
        await asyncio.sleep(0.3)
        assert scene.refused(DatabaseUnavailable) == names

    run(scene())


def test_a_request_that_is_cancelled_while_it_waits_leaves_the_queue() -> None:
    async def scene() -> None:
        scene = Scene(1)
        await scene.send("alice1", "leaving1", "leaving2", "bob1")
        scene.tasks["leaving1"].cancel()
        await scene.settle()
        assert scene.admission.waiting == 2
        assert await scene.end_each() == ["alice1", "leaving2", "bob1"]

    run(scene())


@pytest.mark.parametrize("slot_comes_first", [False, True])
def test_a_request_that_is_cancelled_as_it_gets_a_slot_does_not_keep_it(
    slot_comes_first: bool,
) -> None:
    async def scene() -> list[str]:
        scene = Scene(1)
        await scene.send("alice1", "leaving1")
        if slot_comes_first:
            scene.admission.release("alice")
            scene.tasks["leaving1"].cancel()
        else:
            scene.tasks["leaving1"].cancel()
            scene.admission.release("alice")
        await scene.settle()
        await scene.send("alice2")
        return scene.admitted

    assert run(scene()) == ["alice1", "alice2"]


def test_no_state_is_kept_for_users_without_requests() -> None:
    async def scene() -> None:
        scene = Scene(1)
        await scene.send(*(f"user-{letter}1" for letter in "abcdefgh"))
        await scene.send(*(f"greedy{number}" for number in range(3 * FEW)), "leaving1")
        scene.tasks["leaving1"].cancel()
        await scene.end_each()
        queue = scene.admission._queue
        assert (scene.admission._running, queue.users, queue._long, queue.size) == ({}, {}, {}, 0)
        await scene.send("alice1", "alice2")
        assert [len(arrivals) for arrivals in queue._arrivals] == [1, 0]

    run(scene())


def test_frequent_refusals_of_a_user_are_delayed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refusals, "AT_ONCE", 2)

    async def scene() -> None:
        scene = Scene(1, max_waiting=14)
        await scene.send(*(f"greedy{number}" for number in range(15)), "alice1")
        await scene.send("greedy15", "greedy16", "greedy17")
        assert scene.refused(TooManyRequests) == ["greedy14", "greedy15"]
        for late in ("greedy16", "greedy17"):
            with pytest.raises(TooManyRequests):
                await scene.tasks[late]

    run(scene())


def test_a_whole_list_takes_a_slot_for_each_page_and_none_while_the_client_reads(
    postgres: URL, client: httpx.Client, alice: str, create: Callable[..., object]
) -> None:
    for _ in range(2):
        create()

    async def scene() -> None:
        scene, database, query = Scene(1), Database(postgres, 1), TaskQuery()
        session = database.session()
        await scene.send("bob1")
        first = await read_page(session, alice, query, None, 1)
        parts = list_json(session, scene.admission, alice, query, first)
        assert [bool(await anext(parts)) for _ in range(3)] == [True, True, False]
        rest = asyncio.ensure_future(anext(parts))
        await scene.send("carol1")
        assert not rest.done()
        assert scene.admission.waiting == 2
        await scene.end("bob1")
        assert await rest  # the client does not ask for the next part yet
        await scene.settle()
        assert scene.admitted == ["bob1", "carol1"]
        assert [part async for part in parts]
        await database.close()

    asyncio.run(scene())
