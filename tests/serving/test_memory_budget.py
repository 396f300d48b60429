"""The memory budget: shares, order, refusals, and clients that stall."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from errors import APIError, Overloaded, TooManyRequests
from memory import RESPONSE_PART
from serving import memory_budget
from serving.memory_budget import LARGEST, Hold, MemoryBudget

Scene = Callable[[], Coroutine[object, object, None]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_budget, "CHECK", 0.01)
    monkeypatch.setattr(memory_budget, "MAX_WAIT", 0.2)
    monkeypatch.setattr(memory_budget, "STALLED", 0.05)
    monkeypatch.setattr(memory_budget, "LARGEST", 50)


async def starts(budget: MemoryBudget, user: str, size: int) -> asyncio.Task[Hold]:
    task = asyncio.create_task(budget.acquire(user, size))
    await asyncio.sleep(0)
    return task


def test_a_user_gets_at_most_half_of_the_memory() -> None:
    async def scene() -> None:
        budget = MemoryBudget(100)
        holds = [await budget.acquire("greedy", 25) for _ in range(2)]
        third = await starts(budget, "greedy", 25)
        await budget.acquire("alice", 50)
        assert not third.done()
        holds[0].release()
        await third
        assert budget.used == 100

    asyncio.run(scene())


def test_memory_is_granted_to_the_user_with_the_least_of_it_first() -> None:
    async def scene() -> None:
        budget = MemoryBudget(100)
        first = [await budget.acquire("bob", 20), await budget.acquire("carol", 50)]
        await budget.acquire("dave", 30)
        bob, alice = await starts(budget, "bob", 30), await starts(budget, "alice", 30)
        first[1].settle(20)
        await asyncio.sleep(0)
        assert (bob.done(), alice.done()) == (False, True)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("user", "error"), [("greedy", TooManyRequests), ("alice", Overloaded)], ids=str
)
def test_a_request_that_gets_no_memory_in_time_is_refused(user: str, error: type[APIError]) -> None:
    async def scene() -> None:
        refused: list[object] = []
        budget = MemoryBudget(100, lambda *each: refused.append(each))
        budget.take("greedy", 50)
        budget.take("bob", 50)
        with pytest.raises(error):
            await budget.acquire(user, 50)
        assert refused == [(error, user)]

    asyncio.run(scene())


def test_a_user_whose_share_lacks_room_for_a_large_response_causes_the_refusal() -> None:
    async def scene() -> None:
        budget = MemoryBudget(4 * RESPONSE_PART)
        budget.take("greedy", 2 * RESPONSE_PART - LARGEST - 1)
        with pytest.raises(TooManyRequests):
            await budget.acquire("greedy", RESPONSE_PART)

    asyncio.run(scene())


def test_a_full_queue_refuses_the_user_with_the_most_waiting_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_budget, "MAX_WAITING", 3)

    async def scene() -> None:
        budget = MemoryBudget(100)
        budget.take("greedy", 50)
        waiting = [await starts(budget, "greedy", 50) for _ in range(3)]
        with pytest.raises(TooManyRequests):
            await budget.acquire("greedy", 50)
        budget.take("bob", 50)
        alice = await starts(budget, "alice", 50)
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequests):
            await waiting[2]
        rest = [alice, *waiting[:2]]
        assert not any(each.done() for each in rest)
        for each in rest:
            each.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    asyncio.run(scene())


@pytest.mark.parametrize(("left", "is_cut_off"), [(40_000, True), (0, False)])
def test_a_stalled_client_is_cut_off_only_while_others_wait(left: int, is_cut_off: bool) -> None:
    async def scene() -> None:
        budget, remaining = MemoryBudget(100), [40_000]
        hold = budget.take("bob", 100)
        hold.watch(lambda: remaining[0], hold.release)
        await asyncio.sleep(0.1)
        assert budget.used == 100
        remaining[0] = left
        alice = await starts(budget, "alice", 50)
        await asyncio.sleep(0.03)
        assert alice.done() == is_cut_off
        alice.cancel()

    asyncio.run(scene())


def test_a_cancelled_request_keeps_no_memory() -> None:
    async def scene() -> None:
        budget = MemoryBudget(100)
        hold = budget.take("alice", 50)
        waiting, granted = [await starts(budget, "alice", 50) for _ in range(2)]
        waiting.cancel()
        await asyncio.sleep(0)
        hold.release()  # this grants the other request
        granted.cancel()
        await asyncio.gather(waiting, granted, return_exceptions=True)
        assert budget.used == 0
        assert budget.has_room("alice", 50)

    asyncio.run(scene())
