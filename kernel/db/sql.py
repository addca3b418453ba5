"""PostgreSQL: statements in SQL where one round trip must do the work of many, and effects that wait for the commit."""

import logging
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ParamSpec

from django.db import DEFAULT_DB_ALIAS, DatabaseError, IntegrityError, close_old_connections, connections, transaction
from django_prometheus.db import errors_total, query_duration_seconds

from kernel.db import statements

logger = logging.getLogger(__name__)
Parameters = ParamSpec("Parameters")


def fetch_one(sql: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The only row of a statement, by column name. One round trip; outside a transaction it commits by itself."""
    rows = fetch_all(sql, parameters)
    if len(rows) != 1:
        raise AssertionError(f"{len(rows)} rows, not one")
    return rows[0]


def fetch_all(sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All rows of a statement, by column name; jsonb is decoded.

    Outside a transaction it goes by a connection of the pool that is held for this statement only, without cursors.
    """
    ours: Any = connections[DEFAULT_DB_ALIAS]
    if ours.connection is not None or (pool := ours.pool) is None:
        with ours.cursor() as cursor:
            cursor.execute(sql, parameters)
            return statements.named(sql, cursor.pgresult, cursor.fetchall() if cursor.description is not None else ())
    started = time.perf_counter()
    try:
        with ours.wrap_database_errors:
            pool.open()
            held = pool.getconn()
            try:
                if not held.autocommit:
                    held.autocommit = True
                return statements.fetch(held, sql, parameters)
            finally:
                pool.putconn(held)
    except DatabaseError as error:
        errors_total.labels(*_LABELS, type(error).__name__).inc()
        raise
    finally:
        _duration().observe(time.perf_counter() - started)


_LABELS = ("default", "postgresql")


@cache
def _duration() -> Any:
    return query_duration_seconds.labels(*_LABELS)


def give_connection_back() -> None:
    """At the end of a request that Django's handler has not seen."""
    if connections[DEFAULT_DB_ALIAS].connection is not None:
        close_old_connections()


def violated_constraint(error: IntegrityError) -> str | None:
    """The name of the constraint that refused a write."""
    diagnosis = getattr(error.__cause__, "diag", None)
    return diagnosis.constraint_name if diagnosis else None


def after_commit(effect: Callable[Parameters, object], *args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
    """Runs `effect` once the current transaction is durable; at once when there is none.

    Effects are hints (caches, messages, counters): one that fails is logged and lost, it never turns what is committed
    into an error.
    """

    def run() -> None:
        try:
            effect(*args, **kwargs)
        except Exception:
            logger.exception("effect %s failed", getattr(effect, "__qualname__", effect))

    if connections[DEFAULT_DB_ALIAS].connection is None:  # no transaction, and Django would open one to find that out
        run()
    else:
        transaction.on_commit(run)
