"""Hot API calls, answered by their viewsets without Django's handler and DRF's request in between.

A view that is marked `fast_path` is the same view, with the same authentication, permissions, errors, headers and metrics:
this module calls it as DRF would, and costs a quarter. It sees a `FastRequest`, which has what such a view may use. Whatever
is out of the ordinary (another method, another media type, an odd header) goes the long way, through Django.
"""

import hashlib
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from http import HTTPStatus
from typing import Any, TypeGuard

import orjson
from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict
from django.middleware.security import SecurityMiddleware
from django.urls import URLPattern, URLResolver
from django.urls.resolvers import RegexPattern
from django.views import View
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed, NotAuthenticated
from rest_framework.permissions import BasePermission

from kernel.db.sql import give_connection_back
from kernel.fastpath.checks import marked_actions, unsupported_on_fast_path, unsupported_settings
from kernel.fastpath.response_cache import Answer, Application, Environment
from kernel.http.middleware import LEAST_COMPRESSED, compress_large
from kernel.http.problems import JSON, PROBLEM_JSON, logged_response_to, wants_problem
from kernel.http.rest import JSONParser
from kernel.http.urls import first_segment
from kernel.observability.request_context import chosen_id, current_request_id, observed

MAX_NUMBER = 20  # digits; Python refuses to read thousands of them


class FastRequest:
    """What hot views and their policies use of DRF's Request. `META` is the WSGI environment."""

    authenticators: Sequence[BaseAuthentication] = ()
    successful_authenticator: BaseAuthentication | None = None
    user: Any = None
    auth: Any = None
    body = b""

    def __init__(self, environ: Environment) -> None:
        self.META = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.path_info: str = environ["PATH_INFO"]

    def read(self) -> None:
        """Also what no view asks for: what is left unread would be taken for the next request."""
        if length := int(self.META.get("CONTENT_LENGTH") or 0):
            self.body = self.META["wsgi.input"].read(length)

    @cached_property
    def data(self) -> dict[str, Any]:
        return JSONParser().parse(self) if self.body else {}

    @cached_property
    def query_params(self) -> QueryDict:
        return QueryDict(self.META.get("QUERY_STRING", "").encode("latin-1"))  # WSGI's str of the bytes that were sent


@dataclass(frozen=True, slots=True)
class Route:
    view: Any  # one instance of the viewset for all requests: a new one for each takes 1 us, a twentieth of all this
    method: Callable[..., Mapping[str, Any]]
    status: int
    name: str
    allowed: str  # methods of the same path, as DRF tells them
    authenticators: tuple[BaseAuthentication, ...]
    permissions: tuple[BasePermission, ...]

    def answer(self, request: FastRequest, arguments: Mapping[str, str]) -> Mapping[str, Any]:
        """The data of the view's answer. Raises what it raises."""
        request.authenticators = self.authenticators
        for authenticator in self.authenticators:
            if (found := authenticator.authenticate(request)) is not None:  # type: ignore[arg-type]
                request.successful_authenticator = authenticator
                request.user, request.auth = found
                break
        for permission in self.permissions:
            if not permission.has_permission(request, self.view):  # type: ignore[arg-type]
                self._deny(request, permission)
        return self.method(self.view, request, **arguments)

    def _deny(self, request: FastRequest, permission: Any) -> None:
        """As APIView.check_permissions() does. Permissions on objects are asked by the view, as behind Django."""
        message, code = getattr(permission, "message", None), getattr(permission, "code", None)
        self.view.permission_denied(request, message=message, code=code)


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
        for pattern in () if unsupported_settings() else patterns:
            self._patterns[first_segment(pattern)].append(_pattern(pattern))
        self._found = lru_cache(MAX_PATHS)(self._find)
        most_bytes = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        self._most_bytes = math.inf if most_bytes is None else most_bytes
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
        answer = Answer(_STATUS_LINES[status], [*headers, *always, ("X-Request-Id", name)], tag, body)
        return answer if len(body) < LEAST_COMPRESSED else _compressed(answer, environ)

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
                if (route := pattern.routes.get(method)) is None:
                    return None
                arguments = matched.groupdict()
                if None in arguments.values():  # optional groups: Django leaves them out
                    arguments = {name: value for name, value in arguments.items() if value is not None}
                return route, arguments
        return None

    def _is_secure(self, environ: Environment) -> bool:
        header, value = self._says_secure
        if (said := environ.get(header)) is None:
            return bool(environ["wsgi.url_scheme"] == "https")
        return bool(said.partition(",")[0].strip() == value)


def _answer(
    route: Route, request: FastRequest, arguments: Mapping[str, str]
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body."""
    try:
        request.read()
        body = orjson.dumps(route.answer(request, arguments), default=str)
    except Exception as error:  # noqa: BLE001 - each becomes an answer, as with DRF
        if isinstance(error, NotAuthenticated | AuthenticationFailed):
            _challenge(error, route, request)
        status, data, more = logged_response_to(error, wants_problem=wants_problem(request))
        content_type = PROBLEM_JSON if "type" in data else JSON
        return status, [("Content-Type", content_type), ("Allow", route.allowed), *more.items()], orjson.dumps(data)
    return route.status, [("Content-Type", JSON), ("Allow", route.allowed)], body


def _challenge(error: APIException, route: Route, request: FastRequest) -> None:
    """As APIView.handle_exception() has it: a 401 names a way to authenticate, and is a 403 if there is none to name."""
    if header := route.view.get_authenticate_header(request):
        error.auth_header = header  # type: ignore[attr-defined]
    else:
        error.status_code = HTTPStatus.FORBIDDEN


def _compressed(answer: Answer, environ: Environment) -> Answer:
    """By the middleware that does it behind Django."""
    request = HttpRequest()
    request.META = environ
    response = HttpResponse(answer.body, headers=dict(answer.headers))
    response = compress_large(lambda _: response)(request)
    return answer._replace(headers=list(response.items()), body=response.content)


def _pattern(pattern: URLPattern | URLResolver) -> Pattern:
    if not _is_simple(pattern):
        return Pattern(pattern.pattern.match)
    callback: Any = pattern.callback
    actions: dict[str, str] = getattr(callback, "actions", None) or {}
    methods = {*actions, *(("head",) if "get" in actions else ()), "options"}
    allowed = ", ".join(method.upper() for method in View.http_method_names if method in methods)

    def route(action: str) -> Route:
        method, status = getattr(callback.cls, action).fast_path
        of_as_view = {**callback.initkwargs, "action": action, "action_map": actions, "args": (), "format_kwarg": None}
        shared: Any = type(callback.cls.__name__, (callback.cls,), {**of_as_view, "__setattr__": _keep_nothing})
        return Route(
            shared(),
            method,
            status,
            pattern.name or "",
            allowed,
            tuple(authentication() for authentication in shared.authentication_classes),
            tuple(permission() for permission in shared.permission_classes),
        )

    hot_ones = {
        action for _, action in marked_actions([pattern], "fast_path") if not unsupported_on_fast_path(callback, action)
    }
    return Pattern(
        pattern.pattern.regex.fullmatch,  # as Django matches it, in a third of the time
        {method.upper(): route(action) for method, action in actions.items() if action in hot_ones},
    )


def _keep_nothing(view: Any, name: str, _: object) -> None:
    raise AttributeError(
        f"{name}: a {type(view).__name__} on the fast path serves all requests, and keeps nothing of one"
    )


def _is_simple(pattern: URLPattern | URLResolver) -> TypeGuard[URLPattern]:
    """Whether a regular expression and the names of its groups are all there is to it, as a router makes it."""
    if not isinstance(pattern, URLPattern) or not isinstance(pattern.pattern, RegexPattern) or pattern.default_args:
        return False
    regex = pattern.pattern.regex
    return regex.pattern.endswith("$") and len(regex.groupindex) == regex.groups


_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


@lru_cache(maxsize=1000)
def _headers_for(is_secure: bool, origin: str) -> list[tuple[str, str]] | None:  # noqa: FBT001 - a key of the cache
    """What Django's middleware adds to each answer; None if it does not let the request pass."""
    if settings.SECURE_SSL_REDIRECT and not is_secure:
        return None  # here, for the middleware would want to know to which host
    request = HttpRequest()
    request.method = "GET"
    request._get_scheme = lambda: "https" if is_secure else "http"  # type: ignore[attr-defined]
    if origin:
        request.META["HTTP_ORIGIN"] = origin
    response: Any = SecurityMiddleware(CorsMiddleware(lambda _: HttpResponse()))(request)
    return [header for header in response.items() if header[0] != "Content-Type"]
