"""Fixtures: a database, and the event loops on which these tests run."""

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
    """A function that runs a coroutine, on each of the event loops that the service supports."""

    def run(work: Awaitable[None]) -> None:
        async def limited() -> None:
            async with asyncio.timeout(20):
                await work

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(limited())

    return run
