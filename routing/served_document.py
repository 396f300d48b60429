"""The OpenAPI document as it is served: with its server, and with examples for the pages."""

from copy import deepcopy
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from routing.response_memory import reserved_memory


async def openapi_json(request: Request) -> Response:
    """Respond with the document for programs. Its server is the URL that the program used.

    Generators write that URL into a client, and most of them can't resolve a relative one.
    """
    async with reserved_memory(request):
        return JSONResponse(_with_server(request, _address(request)))


async def openapi_json_of_pages(request: Request) -> Response:
    """Respond with the document for /docs and /redoc.

    Its server is relative, because a proxy may have replaced the host in the request. Swagger UI
    fills in the `example` of a parameter, so the required parameters have one.
    """
    document = _with_server(request, _root_path(request) or "/")
    return JSONResponse(document | {"paths": _with_required_filled_in(document["paths"])})


def _with_server(request: Request, url: str) -> dict[str, Any]:
    """Return the document with `url` as its server, unless the application has set servers.

    To those servers this adds the path of a proxy, as FastAPI does.
    """
    app: FastAPI = request.app
    document = app.openapi()
    if not app.servers and not document.get("servers"):
        return document | {"servers": [{"url": url}]}
    path = _root_path(request)
    if path and app.root_path_in_servers and path not in [each["url"] for each in app.servers]:
        return document | {"servers": [{"url": path}, *app.servers]}
    return document


def _address(request: Request) -> str:
    """Return the URL that the client used, or only its path if a proxy hides the rest of it.

    X-Forwarded-Proto is not trusted if its proxy is not in FORWARDED_ALLOW_IPS. But if it differs
    from the request's scheme, the request's scheme is not the one that the client used.
    """
    path = _root_path(request)
    scheme = request.url.scheme
    if request.headers.get("x-forwarded-proto", scheme) != scheme:
        return path or "/"
    return str(request.url.replace(path=path, query="", fragment=""))


def _root_path(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")


def _with_required_filled_in(paths: dict[str, Any]) -> dict[str, Any]:
    paths = deepcopy(paths)
    for operation in (operation for path in paths.values() for operation in path.values()):
        for parameter in operation.get("parameters", ()):
            examples = parameter.get("schema", {}).get("examples")
            if parameter.get("required") and examples:
                parameter.setdefault("example", examples[0])
    return paths
