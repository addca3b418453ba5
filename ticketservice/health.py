"""Health checks. Each component has a time limit, so that there is a response even if one hangs."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as CheckTimeout
from functools import partial
from typing import Any

import orjson
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse
from django.urls import re_path

from kernel.http.problems import JSON, require_safe
from kernel.redis.client import client

TIMEOUT_SECONDS = 0.8  # the wire contract promises a response within one second
_executor = ThreadPoolExecutor(max_workers=8, thread_name_prefix="health")


class ReadOnly(Exception):
    """PostgreSQL does not accept writes: a standby, or a setting."""


class NotMigrated(Exception):
    """PostgreSQL lacks migrations of this version."""


_is_migrated = False  # once it is, it stays so


def _check_database() -> None:
    global _is_migrated
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_read_only")
            if cursor.fetchone() != ("off",):
                raise ReadOnly
        if not _is_migrated:
            executor = MigrationExecutor(connection)
            if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                raise NotMigrated
            _is_migrated = True
    finally:
        connection.close()  # return it to the pool; no request ends in this thread, which would do that


def _check_redis() -> None:
    # Written, because a replica, or a server without memory or disk, still replies to PING. Without the circuit breaker, to
    # see the recovery at once.
    client().set("health", 1, px=1000)


CHECKS: dict[str, Callable[[], None]] = {"database": _check_database, "redis": _check_redis}

Report = tuple[int, dict[str, Any]]  # status code and body


def check(*names: str) -> dict[str, dict[str, Any]]:
    """Return the status and latency of components, checked concurrently."""
    started = time.monotonic()
    running = {name: _executor.submit(CHECKS[name]) for name in names}
    states = {}
    for name, future in running.items():
        try:
            future.result(timeout=max(0.0, started + TIMEOUT_SECONDS - time.monotonic()))
            states[name] = {"status": "ok", "latencyMs": round((time.monotonic() - started) * 1000, 1)}
        except CheckTimeout:
            future.cancel()
            states[name] = {"status": "down", "reason": "no answer in time"}
        except Exception as error:  # noqa: BLE001 - whatever it is, the component is down
            states[name] = {"status": "down", "reason": type(error).__name__}
    return states


def alive() -> Report:
    """/health, /health/live: the process responds."""
    return 200, {"status": "ok"}


def all_up(*components: str) -> Report:
    """/health/db, /health/redis, /health/all: 503 if one of the components is down."""
    states = check(*components)
    return _report(states, is_ok=all(state["status"] == "ok" for state in states.values()))


def ready() -> Report:
    """/health/ready: 503 if PostgreSQL is down, read-only or not migrated.

    Without Redis the process can still sell, and gets traffic.
    """
    states = check("database", "redis")
    return _report(states, is_ok=states["database"]["status"] == "ok")


def _report(states: dict[str, dict[str, Any]], *, is_ok: bool) -> Report:
    return 200 if is_ok else 503, {"status": "ok" if is_ok else "down", "components": states}


def _view(report: Callable[[], Report]) -> Callable[[HttpRequest], HttpResponse]:
    # Without DRF, which takes 6 MB of each `realtime` process.

    @require_safe
    def health(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's signature
        status, body = report()
        return HttpResponse(orjson.dumps(body), status=status, content_type=JSON)

    return health


urlpatterns = [
    re_path("^health/?$", _view(alive)),
    re_path("^health/live/?$", _view(alive)),
    re_path("^health/db/?$", _view(partial(all_up, "database"))),
    re_path("^health/redis/?$", _view(partial(all_up, "redis"))),
    re_path("^health/all/?$", _view(partial(all_up, "database", "redis"))),
    re_path("^health/ready/?$", _view(ready)),
]
