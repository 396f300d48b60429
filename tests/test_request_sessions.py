"""A request's session is closed when the request ends, whatever the operation does with it."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlmodel import select
from starlette.background import BackgroundTask
from starlette.types import ASGIApp, Receive, Scope, Send

from auth import CurrentUser
from database import Session, SessionDep, get_session
from main import create_app
from models import Task
from routing.route import Route
from routing.task_route import TaskRoute
from tests.support.fastapi_application import client_of, new_app
from tests.support.processes import until
from tests.support.serving import bearer, make_settings

# SQLModel recommends `exec`, whose types have no place for plain SQL.
pytestmark = pytest.mark.filterwarnings("ignore:(?s).*session.exec:DeprecationWarning")

SLEEP = text("SELECT pg_sleep(30)")


def task(title: str) -> Task:
    now = datetime.now(UTC)
    return Task(user_id="flushed", title=title, created_at=now, updated_at=now)


async def titles(session: Session) -> list[str]:
    return list((await session.exec(select(Task.title).where(Task.user_id == "alice"))).all())


async def reads(session: SessionDep) -> list[str]:
    return await titles(session)


async def reads_as_user(user_id: CurrentUser, session: SessionDep) -> Response:
    return JSONResponse(await titles(session))


async def responds(session: SessionDep) -> Response:
    return JSONResponse(await titles(session))


async def raises(session: SessionDep) -> Response:
    await titles(session)
    raise RuntimeError


async def fails_in_the_database(session: SessionDep) -> Response:
    await session.execute(text("SELECT 1 / 0"))
    return Response()


async def flushes(session: SessionDep) -> Response:
    session.add(task("Flushed"))
    await session.flush()
    return Response()


async def catches(session: SessionDep) -> Response:
    session.add(task(""))
    try:
        await session.flush()
    except Exception:
        return Response()
    raise AssertionError


async def streams(session: SessionDep) -> StreamingResponse:
    async def parts() -> AsyncIterator[str]:
        yield "titles: "
        yield str(await titles(session))

    return StreamingResponse(parts())


async def streams_and_raises(session: SessionDep) -> StreamingResponse:
    async def parts() -> AsyncIterator[str]:
        yield str(await titles(session))
        raise RuntimeError

    return StreamingResponse(parts())


async def background(session: SessionDep) -> Response:
    return Response(background=BackgroundTask(titles, session))


async def background_parameter(session: SessionDep, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(titles, session)
    return {}


async def leaves_a_task(session: SessionDep) -> Response:
    left.append(asyncio.create_task(session.exec(SLEEP)))  # type: ignore[call-overload]
    await asyncio.sleep(0.02)
    return Response()


async def dependency(session: SessionDep) -> list[str]:
    return await titles(session)


async def yielding(session: SessionDep) -> AsyncIterator[None]:
    yield
    await titles(session)


async def depends(value: Annotated[list[str], Depends(dependency)]) -> list[str]:
    return value


async def depends_on_teardown(value: Annotated[None, Depends(yielding)]) -> Response:
    return Response()


async def uses_two(
    session: SessionDep, other: Annotated[Session, Depends(get_session, use_cache=False)]
) -> Response:
    return JSONResponse([await titles(session), await titles(other)])


async def asks_for_one(request: Request) -> Response:
    return JSONResponse(await titles(await get_session(request)))


left: list[asyncio.Task[Any]] = []
OPERATIONS: list[Callable[..., Awaitable[Any]]] = [
    reads,
    reads_as_user,
    responds,
    raises,
    fails_in_the_database,
    flushes,
    catches,
    streams,
    streams_and_raises,
    background,
    background_parameter,
    leaves_a_task,
    depends,
    depends_on_teardown,
    uses_two,
    asks_for_one,
]


def nothing() -> None: ...


async def pass_on(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    return await call_next(request)


def plain(app: FastAPI) -> None: ...


def with_middleware(app: FastAPI) -> None:
    app.middleware("http")(pass_on)


class Copied:
    """Middleware that passes a copy of the scope on."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope}, receive, send)


def with_copied_scope(app: FastAPI) -> None:
    app.add_middleware(Copied)


def with_handler(app: FastAPI) -> None:
    app.add_exception_handler(KeyError, lambda request, error: Response(status_code=418))


def with_override(app: FastAPI) -> None:
    app.dependency_overrides[nothing] = nothing


EXTENDED = [plain, with_middleware, with_copied_scope, with_handler, with_override]


def routers() -> Iterator[tuple[str, APIRouter]]:
    """Yield a router on FastAPI's path, and one with each class of our routes."""
    yield "fastapi", APIRouter(prefix="/api/{user_id}/fastapi")
    for kind in (Route, TaskRoute):
        name = kind.__name__
        yield name, APIRouter(prefix=f"/api/{{user_id}}/{name}", route_class=kind)


@pytest.mark.parametrize("extended", EXTENDED)
def test_the_connection_is_returned_when_the_request_ends(
    extended: Callable[[FastAPI], None], postgres: URL
) -> None:
    app = create_app(make_settings(postgres, db_pool_size=2))
    extended(app)
    for _, router in routers():
        for operation in OPERATIONS:
            router.get(f"/{operation.__name__}")(operation)
        app.include_router(router)
    with client_of(app, raise_server_exceptions=False) as client:
        pool = app.state.database.pool
        for path in (f"{kind}/{each.__name__}" for kind, _ in routers() for each in OPERATIONS):
            for _ in range(2 * pool.limit):
                try:
                    response = client.get(f"/api/alice/{path}")
                except RuntimeError:  # raised while the response was being sent
                    continue
                assert response.status_code in (200, 500), (path, response.text)
            until(lambda: pool.in_use == 0, f"{path} to return its connections", 5)
        assert client.get("/api/alice/tasks").status_code == 200


async def runs(session: SessionDep) -> Response:
    await titles(session)
    await session.execute(SLEEP)
    return Response()


async def waits(session: SessionDep) -> Response:
    await titles(session)
    await asyncio.sleep(30)
    return Response()


async def streams_for_long(session: SessionDep) -> StreamingResponse:
    async def parts() -> AsyncIterator[str]:
        yield str(await titles(session))
        await session.execute(SLEEP)

    return StreamingResponse(parts())


def test_the_connection_is_returned_when_the_request_is_cancelled(postgres: URL) -> None:
    app = create_app(make_settings(postgres, db_pool_size=2))
    endless: list[Callable[..., Awaitable[Any]]] = [runs, waits, streams_for_long]
    for _, router in routers():
        for operation in endless:
            router.get(f"/{operation.__name__}")(operation)
        app.include_router(router)

    async def cancelled(client: httpx.AsyncClient, path: str) -> None:
        request = asyncio.create_task(client.get(f"/api/alice/{path}"))
        await asyncio.sleep(0.1)
        request.cancel()
        await asyncio.wait([request])

    async def work() -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=transport, base_url="http://test", headers=bearer("alice")
            ) as client,
        ):
            pool = app.state.database.pool
            for path in (f"{kind}/{each.__name__}" for kind, _ in routers() for each in endless):
                for _ in range(2):
                    await asyncio.gather(*(cancelled(client, path) for _ in range(pool.limit)))
                await asyncio.to_thread(until, lambda: pool.in_use == 0, f"{path} to end", 5)

    asyncio.run(work())


@pytest.mark.filterwarnings("ignore:The garbage collector")
def test_a_session_that_nobody_closes_is_collected(postgres: URL) -> None:
    app = new_app(postgres)

    @app.get("/titles")
    async def forgets(request: Request) -> list[str]:
        return await titles(request.app.state.database.session())

    with client_of(app) as client:
        for _ in range(3):
            assert client.get("/titles").status_code == 200
            gc.collect()  # in another thread than the event loop's
            until(lambda: app.state.database.pool.in_use == 0, "the connection to be closed", 2)


def test_fetch_alone_leaves_nothing_to_close(postgres: URL) -> None:
    app = new_app(postgres)

    @app.get("/titles")
    async def fetches(session: SessionDep) -> list[str]:
        await session.fetch("SELECT 1", {}, retry=True)
        return sorted({"sync_session", "_sync_session"} & set(vars(session)))

    with client_of(app) as client:
        assert client.get("/titles").json() == []


class Unexpected(Exception):
    """An error of an endpoint."""


def test_a_session_that_an_exception_handler_uses_is_closed(postgres: URL) -> None:
    """FastAPI has closed its stack of the request by then."""
    app = new_app(postgres)

    @app.get("/fails")
    async def fails() -> None:
        raise Unexpected

    @app.exception_handler(Exception)
    async def note(request: Request, error: Exception) -> Response:
        return JSONResponse(await titles(await get_session(request)), 418)

    with client_of(app, raise_server_exceptions=False) as client:
        pool = app.state.database.pool
        for _ in range(2 * pool.limit):
            assert client.get("/fails").status_code == 418
        assert pool.in_use == 0


def test_the_transaction_of_a_middleware_outlives_a_route_on_the_fast_path(postgres: URL) -> None:
    app = new_app(postgres)

    class Transaction:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            session = await get_session(Request(scope)) if scope["type"] == "http" else None
            if session:
                await session.execute(text("SELECT set_config('test.kept', 'yes', true)"))
            await self.app(scope, receive, send)
            if session:
                kept = await session.execute(text("SELECT current_setting('test.kept', true)"))
                found.append(kept.scalar_one())

    found: list[str] = []
    app.add_middleware(Transaction)
    with client_of(app) as client:
        assert client.get("/health/live").status_code == 200
        assert app.state.database.pool.in_use == 0
    assert found == ["yes"]
