"""In-process HTTP response cache, invalidated by Redis client tracking.

A view declares what its response depends on (`cached_response`): the value of a key in Redis. The key is then read on a
connection with `CLIENT TRACKING`, on which Redis announces that it was changed, has expired or was deleted. Before each
hit, one command is sent on this connection, and its reply arrives after all announcements: a hit is therefore as fresh as
if the key had been read. Concurrent hits share that command, and concurrent misses of a known entry share one computation.
Without Redis nothing is cached.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.http import HttpResponse
from django.urls import URLPattern, URLResolver
from django.utils.http import parse_etags
from rest_framework.response import Response

from kernel.concurrency.batching import Batcher
from kernel.concurrency.bulkhead import BulkheadFull, database_bulkhead
from kernel.fastpath.cache_store import CacheEntry, CacheStore, Key, WSGIResponse
from kernel.fastpath.checks import marked_actions, unsupported_in_response_cache, unsupported_settings
from kernel.http.middleware import accepts_gzip
from kernel.observability.request_context import accept_request_id, record_request

# If an invalidation was lost, the key in Redis is outdated until it expires. This must not add much to that.
TTL_SECONDS = 10.0
MAX_BATCHERS = 10_000

WSGIEnvironment = dict[str, Any]
Application = Callable[[WSGIEnvironment, Callable[..., Any]], "WSGIResponse | Iterable[bytes]"]


@dataclass(frozen=True, slots=True)
class CacheDependency:
    """The key in Redis from whose `value` a response was made. `on_hit` is called for each cache hit."""

    key: str
    value: bytes
    on_hit: Callable[[], object] | None = None


def cached_response(method: Callable[..., tuple[Response, CacheDependency]]) -> Callable[..., Response]:
    """Mark a method of a viewset whose response may be served to every client that requests the same path.

    The method returns its response and the dependency; the response is served for as long as the key has this value.
    `kernel.fastpath.checks` says what else such a view may use.
    """

    @wraps(method)
    def view(*args: Any, **kwargs: Any) -> Response:
        response, dependency = method(*args, **kwargs)
        response.cache_dependency = dependency  # type: ignore[attr-defined]  # an attribute of our own
        return response

    view.cached_response = (method,)  # type: ignore[attr-defined]
    return view


class ResponseCache:
    """A WSGI application around Django's, for the views among these URL patterns that are marked `cached_response`."""

    def __init__(self, application: Application, patterns: Iterable[URLPattern | URLResolver]) -> None:
        self._application = application
        self._views = _cacheable_views(patterns)
        self._store = CacheStore()
        # For keys that have been cached before: a batch of concurrent misses computes one entry.
        self._batchers: dict[Key, Batcher[Callable[[], CacheEntry | None], CacheEntry | None]] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: Callable[..., Any]) -> Iterable[bytes]:
        key = _cache_key(environ)
        # Taken away from the application, since a 304 from it could not be cached. Evaluated below.
        if_none_match = environ.pop("HTTP_IF_NONE_MATCH", "") if key else ""
        started = time.perf_counter()
        entry = self._store.get(key) if key else None
        if entry is None:
            response = self._compute(key, environ, start_response)
            if not isinstance(response, WSGIResponse):
                return response
        else:
            response = self._hit(entry, environ, started)
        status, headers, tag, body = response
        if if_none_match and tag and status == "200 OK" and _matches(tag, if_none_match):
            headers = [(field, value) for field, value in headers if not field.startswith(("Content-", "Allow"))]
            status, body = "304 Not Modified", b""
        start_response(status, headers)
        return [body]  # a list: the server then knows the length, and that there is no more to come

    def _hit(self, entry: CacheEntry, environ: WSGIEnvironment, started: float) -> WSGIResponse:
        if entry.on_hit:
            entry.on_hit()
        status, headers, tag, body = entry.response
        headers = [*headers, ("X-Request-Id", accept_request_id(environ.get("HTTP_X_REQUEST_ID", "")))]
        record_request(entry.view, "GET", 200, time.perf_counter() - started, environ["PATH_INFO"])
        return WSGIResponse(status, headers, tag, body)

    def _compute(
        self, key: Key | None, environ: WSGIEnvironment, start_response: Callable[..., Any]
    ) -> WSGIResponse | Iterable[bytes]:
        """Return the application's response, or that of a concurrent request for the same key."""
        batcher = self._batchers.get(key) if key else None
        if key is None or batcher is None:
            return self._call_application(key, environ, start_response)[0]
        started = time.perf_counter()
        own: list[WSGIResponse | Iterable[bytes]] = []

        def compute() -> CacheEntry | None:
            response, entry = self._call_application(key, environ, start_response)
            own.append(response)
            return entry

        try:
            with database_bulkhead().place_behind_another():  # whoever computes it may be waiting for PostgreSQL
                entry = batcher.submit(compute)
        except BulkheadFull:
            entry = None
        if own:
            return own[0]
        if entry is None:
            return self._call_application(key, environ, start_response)[0]
        return self._hit(entry, environ, started)

    def _call_application(
        self, key: Key | None, environ: WSGIEnvironment, start_response: Callable[..., Any]
    ) -> tuple[WSGIResponse | Iterable[bytes], CacheEntry | None]:
        """Return the application's response, and its entry if it is cached now."""
        start: list[Any] = []  # the arguments of start_response
        response = self._application(environ, lambda *arguments: start.extend(arguments))
        if isinstance(response, HttpResponse) and not response.streaming:
            return self._cache_if_possible(key, response, *start)
        if not isinstance(response, WSGIResponse):
            start_response(*start)
        return response, None

    def _cache_if_possible(
        self, key: Key | None, response: HttpResponse, status: str, headers: list[tuple[str, str]]
    ) -> tuple[WSGIResponse, CacheEntry | None]:
        complete = WSGIResponse(status, headers, _strong(response.get("ETag", "")), response.content)
        entry = None
        dependency: CacheDependency | None = getattr(response, "cache_dependency", None)
        view = getattr(response, "view_name", "")
        if key and dependency and view in self._views and _is_public(response):
            shared = complete._replace(headers=[(field, value) for field, value in headers if field != "X-Request-Id"])
            expires_at = time.monotonic() + TTL_SECONDS
            entry = CacheEntry(shared, dependency.key.encode(), dependency.on_hit, view, expires_at)
            if self._store.put(key, entry, value=dependency.value):
                self._add_batcher(key)
        response.close()
        return complete, entry

    def _add_batcher(self, key: Key) -> None:
        if key in self._batchers:
            return
        if len(self._batchers) >= MAX_BATCHERS:
            self._batchers.clear()

        def compute_once(computations: list[Callable[[], CacheEntry | None]]) -> Sequence[CacheEntry | None]:
            entry = None
            if self._batchers.get(key) is batcher:
                entry = self._store.get(key) or computations[0]()
            if entry is None:  # it failed, or can no longer be shared: from now on each request computes its own
                self._batchers.pop(key, None)
            return [entry] * len(computations)

        self._batchers[key] = batcher = Batcher(compute_once)


def _cacheable_views(patterns: Iterable[URLPattern | URLResolver]) -> set[str]:
    """Return the names of the views whose GET is marked, and which use nothing that the cache does not support."""
    if unsupported_settings():
        return set()
    cacheable: dict[str, bool] = {}
    for pattern in patterns:
        callback: Any = getattr(pattern, "callback", None)
        marked = [action for _, action in marked_actions([pattern], "cached_response")]
        action = (getattr(callback, "actions", None) or {}).get("get")
        name = getattr(pattern, "name", "") or ""
        is_cacheable = action in marked and not unsupported_in_response_cache(callback, action)
        cacheable[name] = is_cacheable and cacheable.get(name, True)  # of two views with one name, both must be
    return {name for name, is_cacheable in cacheable.items() if name and is_cacheable}


def _is_public(response: HttpResponse) -> bool:
    """Whether the headers allow to serve the response to other clients."""
    varies = {field.strip().lower() for field in response.get("Vary", "").split(",") if field.strip()}
    is_storable = {"no-store", "no-cache", "private"}.isdisjoint(
        directive.partition("=")[0].strip().lower() for directive in response.get("Cache-Control", "").split(",")
    )
    return response.status_code == HTTPStatus.OK and not response.cookies and is_storable and varies <= _VARY_IN_KEY


def _matches(tag: str, if_none_match: str) -> bool:
    return tag in map(_strong, parse_etags(if_none_match))


def _strong(etag: str) -> str:
    """Return an ETag without `W/`. If-None-Match compares weakly: compressed or not, it is the same response."""
    return etag.removeprefix("W/")


_VARY_IN_KEY = {"accept-encoding", "origin"}  # request headers that are part of the cache key


def _cache_key(environ: WSGIEnvironment) -> Key | None:
    """Return what distinguishes responses: equal for requests that get the same one. None: not cacheable."""
    if environ["REQUEST_METHOD"] != "GET":
        return None
    get = environ.get
    encoding = "gzip" if accepts_gzip(get("HTTP_ACCEPT_ENCODING", "")) else ""
    return (
        environ["PATH_INFO"],
        get("QUERY_STRING", ""),
        encoding,
        get("HTTP_ORIGIN", ""),
        get("HTTP_X_FORWARDED_PROTO", ""),
    )
