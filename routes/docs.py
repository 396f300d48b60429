"""Swagger UI and ReDoc, which load nothing from other hosts.

Their files come from the package fastapi-offline, which follows the releases of both. The service
does not use that package's app factory, because it would lose FastAPI's own signature.
"""

import re
from functools import cache
from mimetypes import guess_type
from pathlib import Path as FilePath
from typing import Annotated

import fastapi_offline
from fastapi import APIRouter, FastAPI, Path, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from errors import MethodNotAllowed, NotFound
from routing.route import DocumentationRoute
from routing.served_document import openapi_json_of_pages

STATIC = FilePath(fastapi_offline.__file__).parent / "static"
ADDITIONS = FilePath(__file__).with_name("swagger_ui.js")
ASSETS = "/docs/assets"
DOCUMENT = "/docs/openapi.json"
# The browser contacts no other host, even if one of the files refers to one.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'"
)
# The files are large, and change only with a new release of the service.
CACHED = {"Cache-Control": "public, max-age=3600"}
TRANSPARENT_PIXEL = (
    b"data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
)

router = APIRouter(include_in_schema=False, route_class=DocumentationRoute)


def lead_from_root(app: FastAPI) -> None:
    """Redirect `GET /` to Swagger UI, unless the application has a route for it.

    Other methods of this path are a 405.

    This is not a route itself, because it would take precedence over one that a developer adds.
    """
    otherwise = app.router.default

    async def default(scope: Scope, receive: Receive, send: Send) -> None:
        respond = otherwise
        if scope["type"] == "http":
            request = Request(scope)
            if request.url.path == _with_root_path(request, "/"):
                if scope["method"] not in ("GET", "HEAD"):
                    raise MethodNotAllowed({"GET", "HEAD"})
                respond = RedirectResponse(_with_root_path(request, "/docs"))
        await respond(scope, receive, send)

    app.router.default = default


@router.head("/docs")
@router.get("/docs")
async def swagger_ui(request: Request) -> HTMLResponse:
    """Return Swagger UI, the page for trying out the API."""
    page = get_swagger_ui_html(
        openapi_url=_with_root_path(request, DOCUMENT),
        title=request.app.title,
        swagger_js_url=_with_root_path(request, f"{ASSETS}/swagger-ui-bundle.js"),
        swagger_css_url=_with_root_path(request, f"{ASSETS}/swagger-ui.css"),
        swagger_favicon_url=_with_root_path(request, f"{ASSETS}/favicon.png"),
        swagger_ui_parameters={"persistAuthorization": True, "tryItOutEnabled": True},
    )
    page.headers["Content-Security-Policy"] = POLICY
    return page


@router.head("/redoc")
@router.get("/redoc")
async def redoc(request: Request) -> HTMLResponse:
    """Return ReDoc, the page for reading about the API."""
    page = get_redoc_html(
        openapi_url=_with_root_path(request, DOCUMENT),
        title=request.app.title,
        redoc_js_url=_with_root_path(request, f"{ASSETS}/redoc.standalone.js"),
        redoc_favicon_url=_with_root_path(request, f"{ASSETS}/favicon.png"),
        with_google_fonts=False,
    )
    page.headers["Content-Security-Policy"] = POLICY
    return page


router.head(DOCUMENT)(openapi_json_of_pages)
router.get(DOCUMENT)(openapi_json_of_pages)


@router.head(ASSETS + "/swagger-ui-bundle.js")
@router.get(ASSETS + "/swagger-ui-bundle.js")
async def swagger_ui_script() -> Response:
    """Return Swagger UI's script followed by our additions, which need it to be loaded first."""
    return Response(_swagger_ui_with_additions(), headers=CACHED, media_type="text/javascript")


@router.head(ASSETS + "/redoc.standalone.js")
@router.get(ASSETS + "/redoc.standalone.js")
async def redoc_script() -> Response:
    """Return ReDoc's script without the URL of the logo, which is on its vendor's host."""
    return Response(_redoc_without_logo(), headers=CACHED, media_type="text/javascript")


@router.head(ASSETS + "/{name}")
@router.get(ASSETS + "/{name}")
async def asset(name: Annotated[str, Path()]) -> Response:
    """Return one of the other files of the two pages."""
    if name not in {path.name for path in STATIC.iterdir()}:
        raise NotFound
    return Response(_content(name), headers=CACHED, media_type=guess_type(name)[0])


def _with_root_path(request: Request, path: str) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/") + path


# Each of these is one object, which all responses share (serving/exchange.py).


@cache
def _content(name: str) -> bytes:
    return (STATIC / name).read_bytes()


@cache
def _swagger_ui_with_additions() -> bytes:
    return (STATIC / "swagger-ui-bundle.js").read_bytes() + b"\n" + ADDITIONS.read_bytes()


@cache
def _redoc_without_logo() -> bytes:
    script = (STATIC / "redoc.standalone.js").read_bytes()
    return re.sub(rb"https://cdn\.redoc\.ly/[^\"'`]*", TRANSPARENT_PIXEL, script)
