"""Whole answers, kept in this process for as long as what they were made of stays the same in Redis.

What everybody asks for leaves before Django looks at the request: the bytes and headers that Django gave the last one who
asked for the same. A view says what its answer was made of (`cached_response`). That key is then read on a connection of
our own, on which Redis tells when the key changes, expires or is deleted (`CLIENT TRACKING`). Before each answer from
memory we ask Redis something, and hear what it has told before it replies: so the answer is as new as if its key had been
read. Of requests that come at once one asks for all; and of those that miss what was kept before, one makes it for all.
Without Redis nothing is kept.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from threading import Lock
from typing import Any, NamedTuple

import hiredis
from django.http import HttpResponse
from django.urls import URLPattern, URLResolver
from django.utils.http import parse_etags
from redis.exceptions import RedisError, ResponseError
from rest_framework.response import Response

from kernel.concurrency.batching import Batcher
from kernel.fastpath.checks import marked_actions, unsupported_in_response_cache, unsupported_settings
from kernel.observability.request_context import chosen_id, observed
from kernel.redis.connection import RedisConnection

LIFE_SECONDS = 10.0  # the caches' own lives bound what is wrong when a change was not told; this one must not add much
REST_SECONDS = 1.0  # after Redis could not be reached
TIMEOUT_SECONDS = 0.2
MAX_MAKERS = 10_000
MAX_BYTES = 8_000_000
OVERHEAD_BYTES = 2_000  # of each answer, roughly

Environment = dict[str, Any]
Application = Callable[[Environment, Callable[..., Any]], "Answer | Iterable[bytes]"]
Name = tuple[str, ...]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CacheDependency:
    """What an answer was made of: the value of a key in Redis. `on_hit` is called whenever the answer is given again."""

    key: str
    value: bytes
    on_hit: Callable[[], object] | None = None


def cached_response(method: Callable[..., tuple[Response, CacheDependency]]) -> Callable[..., Response]:
    """Marks a method of a viewset whose response may be given to all who ask for the same path.

    The method returns its response and what that was made of: it is given for as long as the key has this value. What
    else such a view may have: see `kernel.fastpath.checks`.
    """

    @wraps(method)
    def view(*args: Any, **kwargs: Any) -> Response:
        response, source = method(*args, **kwargs)
        response.cache_dependency = source  # type: ignore[attr-defined]  # an attribute of our own
        return response

    view.cached_response = (method,)  # type: ignore[attr-defined]
    return view


class Answer(NamedTuple):
    """As it goes to the server. `tag` is its ETag without a mark of weakness, empty if it has none."""

    status: str
    headers: list[tuple[str, str]]
    tag: str
    body: bytes


@dataclass(frozen=True, slots=True)
class CacheEntry:
    answer: Answer  # without the id of the request
    key: bytes  # what it was made of
    on_hit: Callable[[], object] | None
    view: str
    until: float


class ResponseCache:
    """A WSGI application around Django's, for the views among these URL patterns with the mark `cached_response`."""

    def __init__(self, application: Application, patterns: Iterable[URLPattern | URLResolver]) -> None:
        self._application = application
        self._views = _views_for_everybody(patterns)
        self._answers = CacheStore()
        self._makers: dict[Name, Batcher[Callable[[], CacheEntry | None], CacheEntry | None]] = {}

    def __call__(self, environ: Environment, start_response: Callable[..., Any]) -> Iterable[bytes]:
        name = _name(environ)
        # Judged here: of a 304 nothing could be kept.
        held_by_client = environ.pop("HTTP_IF_NONE_MATCH", "") if name else ""
        started = time.perf_counter()
        kept = self._answers.current(name) if name else None
        if kept is None:
            answer = self._made(name, environ, start_response)
            if not isinstance(answer, Answer):
                return answer
        else:
            answer = self._given_again(kept, environ, started)
        status, headers, tag, body = answer
        if held_by_client and tag and status == "200 OK" and _is_one_of(tag, held_by_client):
            headers = [(field, value) for field, value in headers if not field.startswith(("Content-", "Allow"))]
            status, body = "304 Not Modified", b""
        start_response(status, headers)
        return [body]  # a list: the server then knows that there is no more to come

    def _given_again(self, kept: CacheEntry, environ: Environment, started: float) -> Answer:
        if kept.on_hit:
            kept.on_hit()
        status, headers, tag, body = kept.answer
        headers = [*headers, ("X-Request-Id", chosen_id(environ.get("HTTP_X_REQUEST_ID", "")))]
        observed(kept.view, "GET", 200, time.perf_counter() - started, environ["PATH_INFO"])
        return Answer(status, headers, tag, body)

    def _made(
        self, name: Name | None, environ: Environment, start_response: Callable[..., Any]
    ) -> Answer | Iterable[bytes]:
        """Of those who miss at once what was kept before, one makes it for all who came before that one began."""
        makers = self._makers.get(name) if name else None
        if name is None or makers is None:
            return self._ask_application(name, environ, start_response)[0]
        started = time.perf_counter()
        own: list[Answer | Iterable[bytes]] = []

        def make() -> CacheEntry | None:
            answer, kept = self._ask_application(name, environ, start_response)
            own.append(answer)
            return kept

        kept = makers.ask(make)
        if own:
            return own[0]
        if kept is None:
            return self._ask_application(name, environ, start_response)[0]
        return self._given_again(kept, environ, started)

    def _ask_application(
        self, name: Name | None, environ: Environment, start_response: Callable[..., Any]
    ) -> tuple[Answer | Iterable[bytes], CacheEntry | None]:
        begun: list[Any] = []
        response = self._application(environ, lambda *begins: begun.extend(begins))
        if isinstance(response, HttpResponse) and not response.streaming:
            return self._answered_by_django(name, response, *begun)
        if not isinstance(response, Answer):
            start_response(*begun)
        return response, None

    def _answered_by_django(
        self, name: Name | None, response: HttpResponse, status: str, headers: list[tuple[str, str]]
    ) -> tuple[Answer, CacheEntry | None]:
        answer = Answer(status, headers, _tag(response.get("ETag", "")), response.content)
        kept = None
        source: CacheDependency | None = getattr(response, "cache_dependency", None)
        view = getattr(response, "view_name", "")
        if name and source and view in self._views and _is_for_everybody(response):
            again = answer._replace(headers=[(field, value) for field, value in headers if field != "X-Request-Id"])
            kept = CacheEntry(again, source.key.encode(), source.on_hit, view, time.monotonic() + LIFE_SECONDS)
            if self._answers.keep(name, kept, value=source.value):
                self._remember_makers(name)
        response.close()
        return answer, kept

    def _remember_makers(self, name: Name) -> None:
        if name in self._makers:
            return
        if len(self._makers) >= MAX_MAKERS:
            self._makers.clear()

        def make_for_all(who: list[Callable[[], CacheEntry | None]]) -> Sequence[CacheEntry | None]:
            kept = None
            if self._makers.get(name) is makers:
                kept = self._answers.current(name) or who[0]()
            if kept is None:  # it failed, or is no longer something for everybody: from now on each makes its own
                self._makers.pop(name, None)
            return [kept] * len(who)

        self._makers[name] = makers = Batcher(make_for_all)


def _views_for_everybody(patterns: Iterable[URLPattern | URLResolver]) -> set[str]:
    """Names of the views whose responses may be kept: GET has the mark, and nothing about them is not honoured."""
    if unsupported_settings():
        return set()
    found: dict[str, bool] = {}
    for pattern in patterns:
        callback: Any = getattr(pattern, "callback", None)
        marked = [action for _, action in marked_actions([pattern], "cached_response")]
        action = (getattr(callback, "actions", None) or {}).get("get")
        name = getattr(pattern, "name", "") or ""
        may_be_kept = action in marked and not unsupported_in_response_cache(callback, action)
        found[name] = may_be_kept and found.get(name, True)  # of two with one name, both
    return {name for name, may_be_kept in found.items() if name and may_be_kept}


def _is_for_everybody(response: HttpResponse) -> bool:
    """Whether it says nothing else by its headers."""
    varies = {field.strip().lower() for field in response.get("Vary", "").split(",") if field.strip()}
    kept_by_caches = {"no-store", "no-cache", "private"}.isdisjoint(
        directive.partition("=")[0].strip().lower() for directive in response.get("Cache-Control", "").split(",")
    )
    return (
        response.status_code == HTTPStatus.OK and not response.cookies and kept_by_caches and varies <= _NAMED_BY_VARY
    )


def _is_one_of(tag: str, held: str) -> bool:
    return tag in map(_tag, parse_etags(held))


def _tag(etag: str) -> str:
    """Without its mark of weakness: compressed and not, it is the same answer."""
    return etag.removeprefix("W/")


_NAMED_BY_VARY = {"accept-encoding", "origin"}  # request headers that are in the name


def _name(environ: Environment) -> Name | None:
    """Equal for requests that get the same answer."""
    if environ["REQUEST_METHOD"] != "GET":
        return None
    get = environ.get
    packed = "gzip" if "gzip" in get("HTTP_ACCEPT_ENCODING", "") else ""
    return (
        environ["PATH_INFO"],
        get("QUERY_STRING", ""),
        packed,
        get("HTTP_ORIGIN", ""),
        get("HTTP_X_FORWARDED_PROTO", ""),
    )


class CacheStore:
    """The answers of one process, for all of its threads."""

    def __init__(self) -> None:
        self._answers: dict[Name, CacheEntry] = {}
        self._bytes = 0
        self._redis: TrackingConnection | None = None
        self._lock = Lock()  # of all of these
        self._rests_until = 0.0
        self._asked = 0  # questions that have been begun
        self._heard = 0  # and the last one that was replied to

    def current(self, name: Name) -> CacheEntry | None:
        """The answer, if nothing has changed before this call."""
        if name not in self._answers:
            return None
        before = self._asked
        with self._lock:
            if self._heard <= before:  # else somebody has asked since we came
                self._ask(b"PING\r\n")
            kept = self._answers.get(name)
        return kept if kept and kept.until > time.monotonic() else None

    def keep(self, name: Name, kept: CacheEntry, *, value: bytes) -> bool:
        """Keeps the answer if Redis still has what it was made of. Not while Redis keeps the other threads waiting."""
        if time.monotonic() < self._rests_until or not self._lock.acquire(timeout=TIMEOUT_SECONDS):
            return False
        try:
            if self._ask(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(kept.key), kept.key)) != value:
                return False
            self._drop(name)
            self._answers[name] = kept
            self._bytes += len(kept.answer.body) + OVERHEAD_BYTES
            while self._bytes > MAX_BYTES:
                self._drop(next(iter(self._answers)))
            return True
        finally:
            self._lock.release()

    def _drop(self, name: Name) -> None:
        if (kept := self._answers.pop(name, None)) is not None:
            self._bytes -= len(kept.answer.body) + OVERHEAD_BYTES

    def _ask(self, command: bytes) -> Any:
        """Redis' reply; what it has told before was heard by then. None when it can not be reached."""
        self._asked += 1
        try:
            if self._redis is None:
                self._redis = TrackingConnection(self._forget)
            reply = self._redis.ask(command)
        except (RedisError, hiredis.HiredisError, OSError) as error:
            self._lose(error)
            return None
        self._heard = self._asked
        return reply

    def _forget(self, keys: set[bytes] | None) -> None:
        for name, kept in list(self._answers.items()):
            if keys is None or kept.key in keys:
                self._drop(name)

    def _lose(self, error: Exception) -> None:
        logger.warning("answers are no longer remembered: %s", error)
        self._answers.clear()
        self._bytes = 0
        self._rests_until = time.monotonic() + REST_SECONDS
        if self._redis is not None:
            self._redis.close()
            self._redis = None


class TrackingConnection(RedisConnection):
    """A connection that remembers what was read on it: `forget` is called with keys that have changed.

    With None when all may have: somebody has emptied the database.
    """

    def __init__(self, forget: Callable[[set[bytes] | None], None]) -> None:
        def push(said: list[Any]) -> None:
            if said[0] == b"invalidate":
                forget(None if said[1] is None else set(said[1]))

        super().__init__(timeout=TIMEOUT_SECONDS, protocol=3, push=push)
        if isinstance(refusal := self.ask(b"CLIENT TRACKING ON\r\n"), hiredis.ReplyError):
            raise ResponseError(str(refusal))
