"""Is it alive, and what of it works? Every check has a time limit, so that an answer comes also when a component hangs."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as CheckTimeout
from functools import partial
from typing import Any

import orjson
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import re_path

from kernel.http.problems import JSON, require_safe
from kernel.redis.connection import client

TIME_LIMIT = 0.8  # seconds; the answer is promised within one
_threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="health")


def _database_answers() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()  # back to the pool: this thread serves no requests, which would do it


def _redis_answers() -> None:
    client().ping()  # past the circuit breaker: this is a look, not a use


CHECKS: dict[str, Callable[[], None]] = {"database": _database_answers, "redis": _redis_answers}

State = tuple[int, dict[str, Any]]  # an answer: its status and what it says


def check(*names: str) -> dict[str, dict[str, Any]]:
    """State and latency of components, looked at side by side."""
    started = time.monotonic()
    running = {name: _threads.submit(CHECKS[name]) for name in names}
    found = {}
    for name, future in running.items():
        try:
            future.result(timeout=max(0.0, started + TIME_LIMIT - time.monotonic()))
            found[name] = {"status": "ok", "latencyMs": round((time.monotonic() - started) * 1000, 1)}
        except CheckTimeout:
            future.cancel()
            found[name] = {"status": "down", "reason": "no answer in time"}
        except Exception as error:  # noqa: BLE001 - whatever it is, the component does not work
            found[name] = {"status": "down", "reason": type(error).__name__}
    return found


def alive() -> State:
    """/health, /health/live: the process answers."""
    return 200, {"status": "ok"}


def works(*components: str) -> State:
    """/health/db, /health/redis, /health/all: 503 when one of the components is down."""
    found = check(*components)
    return _state(found, works=all(state["status"] == "ok" for state in found.values()))


def ready() -> State:
    """/health/ready: may traffic come here? Without Redis it may: the sale goes on."""
    found = check("database", "redis")
    return _state(found, works=found["database"]["status"] == "ok")


def _state(found: dict[str, dict[str, Any]], *, works: bool) -> State:
    return 200 if works else 503, {"status": "ok" if works else "down", "components": found}


def _view(answer: Callable[[], State]) -> Callable[[HttpRequest], HttpResponse]:
    """Without DRF, which takes 6 MB of each `realtime` process."""

    @require_safe
    def health(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's signature
        status, said = answer()
        return HttpResponse(orjson.dumps(said), status=status, content_type=JSON)

    return health


urlpatterns = [
    re_path("^health/?$", _view(alive)),
    re_path("^health/live/?$", _view(alive)),
    re_path("^health/db/?$", _view(partial(works, "database"))),
    re_path("^health/redis/?$", _view(partial(works, "redis"))),
    re_path("^health/all/?$", _view(partial(works, "database", "redis"))),
    re_path("^health/ready/?$", _view(ready)),
]
