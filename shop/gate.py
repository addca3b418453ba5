"""The API for the shop's own pages, below /shop/api/: the cookie becomes the bearer token of an ordinary request.

It stands in front of the whole application, so that such a request takes the same way as any other, fast path and response
cache included. The API itself knows no cookie: whatever a browser sends to /events or /api/events, only the header
`Authorization` counts there.
"""

from collections.abc import Callable, Iterable
from typing import Any

from django.http import HttpRequest

from kernel.errors import DomainError, Kind
from kernel.http.problems import NotFound, error_response
from shop import cookies, origins

Environment = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environment, StartResponse], Iterable[bytes]]

PREFIX = "/shop/api/"
APPS = {"events", "tickets", "seats", "queue", "reservations", "waitlist"}
READS = {"GET", "HEAD"}


class ForeignOrigin(DomainError):
    kind = Kind.FORBIDDEN
    message = "The request does not come from a page of this service"
    code = "FOREIGN_ORIGIN"


class CookieGate:
    """WSGI middleware. Raises nothing: a request that may not pass gets 403, or 404 for a path that is not of the API."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        if not environ["PATH_INFO"].startswith(PREFIX):
            return self._application(environ, start_response)
        path = environ["PATH_INFO"].removeprefix(PREFIX)
        if path.partition("/")[0] not in APPS:
            return _refuse(NotFound(), environ, start_response)
        if not origins.is_from_own_page(environ, writes=environ["REQUEST_METHOD"] not in READS):
            return _refuse(ForeignOrigin(), environ, start_response)
        return self._application(_as_bearer(environ, path), start_response)


def _as_bearer(environ: Environment, path: str) -> Environment:
    bare = {**environ, "PATH_INFO": f"/{path}"}
    bare.pop("HTTP_AUTHORIZATION", None)
    token, _ = cookies.token_in(bare.pop("HTTP_COOKIE", ""), buyer=environ.get("HTTP_SHOP_BUYER", ""))
    if token:
        bare["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return bare


def _refuse(error: DomainError, environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
    request = HttpRequest()
    request.META = environ
    response = error_response(request, error)
    response["Cache-Control"] = "no-store"
    start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
    return [response.content]
