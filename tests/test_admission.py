"""Who waits for a turn: in order, each for his time only, and nobody keeps another's turn."""

import asyncio

import pytest

from errors import DatabaseUnavailable, Overloaded
from middleware import admission
from middleware.admission import Admission


async def turn(door: Admission, order: list[str], name: str) -> None:
    async with door:
        order.append(name)


async def settled() -> None:
    """Lets everybody go as far as they get."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_turns_come_in_the_order_of_asking() -> None:
    async def scene() -> list[str]:
        door, order = Admission(1, 10), list[str]()
        async with door:
            waiting = [asyncio.create_task(turn(door, order, name)) for name in "abc"]
            await settled()
            assert order == []
        await asyncio.gather(*waiting)
        return order

    assert asyncio.run(scene()) == ["a", "b", "c"]


def test_one_more_than_may_wait_is_told_at_once() -> None:
    async def scene() -> None:
        door = Admission(1, 1)
        async with door:
            waiting = asyncio.create_task(turn(door, [], "a"))
            await settled()
            with pytest.raises(Overloaded):
                await turn(door, [], "b")
        await waiting

    asyncio.run(scene())


def test_who_waited_too_long_is_told_and_the_next_still_gets_his_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "MAX_WAIT", 0.2)

    async def scene() -> list[str]:
        door, order = Admission(1, 10), list[str]()
        async with door:
            first = asyncio.create_task(turn(door, order, "first"))
            await asyncio.sleep(0.1)
            second = asyncio.create_task(turn(door, order, "second"))
            with pytest.raises(DatabaseUnavailable):
                await first
        await second
        return order

    assert asyncio.run(scene()) == ["second"]


@pytest.mark.parametrize("its_turn_has_come", [False, True])
def test_who_leaves_while_he_waits_takes_no_turn_along(its_turn_has_come: bool) -> None:
    async def scene() -> list[str]:
        door, order = Admission(1, 10), list[str]()
        await door.__aenter__()
        leaving = asyncio.create_task(turn(door, order, "leaving"))
        await settled()
        if its_turn_has_come:
            await door.__aexit__()
            leaving.cancel()
        else:
            leaving.cancel()
            await door.__aexit__()
        await asyncio.gather(leaving, return_exceptions=True)
        async with asyncio.timeout(1):
            await turn(door, order, "next")
        return order

    assert asyncio.run(scene()) == ["next"]
