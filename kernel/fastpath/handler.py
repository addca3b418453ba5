"""Hot API calls, answered by their viewsets without Django's handler and DRF's request in between.

A view that is marked `fast_path` is the same view, with the same authentication, permissions, errors, headers and metrics:
this module calls it as DRF would, and costs a quarter. It sees a `FastRequest`, which has what such a view may use. Whatever
is out of the ordinary (another method, another media type, an odd header) goes the long way, through Django.
"""

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from http import HTTPStatus
from typing import Any

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import URLPattern, URLResolver
from django.views import View
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission

from kernel.db.sql import give_connection_back
from kernel.fastpath.response_cache import Answer, Application, Environment
from kernel.http.middleware import cross_origin, secure
from kernel.http.problems import JSON, PROBLEM_JSON, logged_response_to, wants_problem
from kernel.http.rest import JSONParser
from kernel.http.urls import first_segment
from kernel.observability.request_context import chosen_id, current_request_id, observed

MAX_NUMBER = 20  # digits; Python refuses to read thousands of them


class FastRequest:
    """What hot views use of DRF's Request. `META` is the WSGI environment."""

    def __init__(self, environ: Environment) -> None:
        self.META = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.path_info: str = environ["PATH_INFO"]
        self.user: Any = None
        self.body = b""

    def read(self) -> None:
        """Also what no view asks for: what is left unread would be taken for the next request."""
        if length := int(self.META.get("CONTENT_LENGTH") or 0):
            self.body = self.META["wsgi.input"].read(length)

    @cached_property
    def data(self) -> dict[str, Any]:
        return JSONParser().parse(self) if self.body else {}

    @cached_property
    def query_params(self) -> QueryDict:
        return QueryDict(self.META.get("QUERY_STRING", ""))


@dataclass(frozen=True, slots=True)
class Route:
    view: Any  # the viewset
    method: Callable[..., Mapping[str, Any]]
    status: int
    name: str
    allowed: str  # methods of the same path, as DRF tells them
    authentication: tuple[BaseAuthentication, ...]
    permissions: tuple[BasePermission, ...]

    def answer(self, request: FastRequest, arguments: Mapping[str, str]) -> Mapping[str, Any]:
        """The data of the view's answer. Raises what it raises."""
        for authentication in self.authentication:
            if found := authentication.authenticate(request):  # type: ignore[arg-type]
                request.user = found[0]
                break
        for permission in self.permissions:
            permission.has_permission(request, self.view)  # type: ignore[arg-type]  # ours raise
        return self.method(self.view, request, **arguments)


@dataclass(frozen=True, slots=True)
class Pattern:
    match: Callable[[str], Any]
    routes: dict[str, Route] = field(default_factory=dict)  # by method; empty: there is nothing hot, and Django knows


MAX_PATHS = 2000


class FastPathHandler:
    """A WSGI application around Django's, for the hot views among these URL patterns and below /api."""

    def __init__(self, application: Application, patterns: Iterable[URLPattern | URLResolver]) -> None:
        self._application = application
        self._patterns: dict[str, list[Pattern]] = defaultdict(list)
        for pattern in patterns:
            self._patterns[first_segment(pattern)].append(_pattern(pattern))
        self._found = lru_cache(MAX_PATHS)(self._find)
        self._most_bytes = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        self._says_secure = getattr(settings, "SECURE_PROXY_SSL_HEADER", None) or ("", "")

    def __call__(self, environ: Environment, start_response: Callable[..., Any]) -> "Answer | Iterable[bytes]":
        """An Answer, for `Remembering`; or what Django answers."""
        if (found := self._route(environ)) is None:
            return self._application(environ, start_response)
        always = _headers_for(self._is_secure(environ), environ.get("HTTP_ORIGIN", ""))
        if always is None:
            return self._application(environ, start_response)
        route, arguments = found
        started = time.perf_counter()
        name = chosen_id(environ.get("HTTP_X_REQUEST_ID", ""))
        token = current_request_id.set(name)
        request = FastRequest(environ)
        try:
            status, headers, body = _answer(route, request, arguments)
        finally:
            give_connection_back()
            current_request_id.reset(token)
        observed(route.name, request.method, status, time.perf_counter() - started, request.path_info)
        tag = ""
        if request.method == "GET":
            tag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
            headers.append(("ETag", tag))
        return Answer(_STATUS_LINES[status], [*headers, *always, ("X-Request-Id", name)], tag, body)

    def _route(self, environ: Environment) -> tuple[Route, Mapping[str, str]] | None:
        get = environ.get
        path: str = environ["PATH_INFO"]
        if get("SCRIPT_NAME") or not path.isascii():
            return None
        length = get("CONTENT_LENGTH") or "0"
        if length != "0":
            is_json = get("CONTENT_TYPE", "").partition(";")[0].strip().lower() == JSON
            is_number = length.isdecimal() and len(length) < MAX_NUMBER
            if not is_json or not is_number or int(length) > self._most_bytes:
                return None
        elif "HTTP_TRANSFER_ENCODING" in environ:
            return None
        return self._found(environ["REQUEST_METHOD"], path)

    def _find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        path = path[5:] if path.startswith("/api/") else path[1:]
        for pattern in self._patterns.get(path.partition("/")[0], ()):
            if matched := pattern.match(path):
                route = pattern.routes.get(method)
                return (route, matched.groupdict()) if route else None
        return None

    def _is_secure(self, environ: Environment) -> bool:
        header, value = self._says_secure
        return bool(environ.get(header) == value if header in environ else environ["wsgi.url_scheme"] == "https")


def _answer(
    route: Route, request: FastRequest, arguments: Mapping[str, str]
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body."""
    try:
        request.read()
        body = orjson.dumps(route.answer(request, arguments), default=str)
    except Exception as error:  # noqa: BLE001 - each becomes an answer, as with DRF
        status, data, more = logged_response_to(error, wants_problem=wants_problem(request))
        content_type = PROBLEM_JSON if "type" in data else JSON
        return status, [("Content-Type", content_type), ("Allow", route.allowed), *more.items()], orjson.dumps(data)
    return route.status, [("Content-Type", JSON), ("Allow", route.allowed)], body


def _pattern(pattern: URLPattern | URLResolver) -> Pattern:
    viewset = getattr(pattern.callback, "cls", None)
    actions: dict[str, str] = getattr(pattern.callback, "actions", None) or {}
    options: dict[str, Any] = getattr(pattern.callback, "initkwargs", None) or {}

    methods = {*actions, *(("head",) if "get" in actions else ()), "options"}
    allowed = ", ".join(method.upper() for method in View.http_method_names if method in methods)

    def route(viewset: type[Any], method: Callable[..., Mapping[str, Any]], status: int) -> Route:
        judges = (options.get(name, getattr(viewset, name)) for name in _POLICY_ATTRIBUTES)
        of_view = (tuple(judge() for judge in of_kind) for of_kind in judges)
        return Route(viewset(), method, status, getattr(pattern, "name", "") or "", allowed, *of_view)

    hot_ones = {
        method.upper(): route(viewset, *hot)
        for method, action in actions.items()
        if viewset is not None and (hot := getattr(getattr(viewset, action), "fast_path", None))
    }
    regex = getattr(pattern.pattern, "regex", None)  # a path() has nothing hot, and is matched by its route
    return Pattern(regex.fullmatch if regex else str(pattern.pattern).__eq__, hot_ones)


_POLICY_ATTRIBUTES = ("authentication_classes", "permission_classes")
_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


@lru_cache(maxsize=1000)
def _headers_for(is_secure: bool, origin: str) -> list[tuple[str, str]] | None:  # noqa: FBT001 - a key of the cache
    """What Django's middleware adds to each answer; None if it does not let the request pass."""
    request = HttpRequest()
    request.method = "GET"
    request._get_scheme = lambda: "https" if is_secure else "http"  # type: ignore[attr-defined]
    if origin:
        request.META["HTTP_ORIGIN"] = origin
    response = secure(cross_origin(lambda _: HttpResponse()))(request)
    if response.status_code != HTTPStatus.OK:
        return None
    return [header for header in response.items() if header[0] not in ("Content-Type", "ETag")]
