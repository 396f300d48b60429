"""CORS for the frontend's origins, and for no others."""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware as StarletteCORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from errors import OriginNotAllowed

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS = ("Authorization", "Content-Type")
RESPONSE_HEADERS = ("Location", "Retry-After", "WWW-Authenticate", "Allow")


class CORSMiddleware(StarletteCORSMiddleware):
    """Starlette's, with our origins, and a refused preflight in the form of our errors."""

    def __init__(self, app: ASGIApp, allow_origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=allow_origins,
            allow_credentials=True,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=RESPONSE_HEADERS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        del response.headers["content-type"], response.headers["content-length"]
        error = OriginNotAllowed()
        return JSONResponse(error.body(), error.status, headers=response.headers)
