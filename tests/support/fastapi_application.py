"""The real service in a TestClient, as a developer who extends it would test it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.engine import URL
from starlette.types import ASGIApp

from main import create_app
from routing.route import Route
from tests.support.serving import ORIGIN, bearer, make_settings

# The places for a new route: the application, a router, and a router with our route class.
PLACES = ("app", "router", "route_class")


def new_app(postgres: URL) -> FastAPI:
    return create_app(make_settings(postgres))


def add_route(
    app: FastAPI,
    place: str,
    path: str,
    endpoint: Callable[..., Any],
    method: str = "GET",
    **options: Any,
) -> None:
    """Add a route to `app` at one of PLACES."""
    routes: FastAPI | APIRouter = app
    if place != "app":
        routes = router_at(place)
    routes.api_route(path, methods=[method], **options)(endpoint)
    if isinstance(routes, APIRouter):
        app.include_router(routes)


def router_at(place: str, **options: Any) -> APIRouter:
    if place == "route_class":
        options["route_class"] = Route
    return APIRouter(**options)


@contextmanager
def client_of(app: ASGIApp, **options: Any) -> Iterator[TestClient]:
    """Yield a client that sends alice's token and an allowed Origin, as a browser would."""
    headers = {"Origin": ORIGIN, **bearer("alice")}
    with TestClient(app, headers=headers, follow_redirects=False, **options) as client:
        yield client
