"""A database and the event loops of these tests."""

import asyncio
from collections.abc import Awaitable, Iterator

import pytest
import uvloop
from sqlalchemy.engine import URL

from tests.postgres.sessions import Run
from tests.support.services import database_of_its_own


@pytest.fixture(scope="module")
def url(postgres: URL) -> Iterator[URL]:
    with database_of_its_own(postgres) as url:
        yield url


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on each of the loops that the service may meet."""

    def run(work: Awaitable[None]) -> None:
        async def limited() -> None:
            async with asyncio.timeout(20):
                await work

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(limited())

    return run
