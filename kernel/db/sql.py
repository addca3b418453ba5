"""Raw SQL in one round trip, and effects that run after the commit."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, ParamSpec

from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    close_old_connections,
    connections,
    transaction,
)
from django_prometheus.db import errors_total, query_duration_seconds

from kernel.db import statements
from kernel.errors import Outage

logger = logging.getLogger(__name__)
Parameters = ParamSpec("Parameters")


def fetch_one(sql: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the only row of a statement, by column name. See `fetch_all`; AssertionError unless there is one row."""
    rows = fetch_all(sql, parameters)
    if len(rows) != 1:
        raise AssertionError(f"{len(rows)} rows, not one")
    return rows[0]


def fetch_all(sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all rows of a statement with `%(name)s` placeholders, by column name; jsonb is decoded.

    One round trip. Inside a transaction it runs on Django's connection; outside it commits by itself. Raises Django's
    database exceptions.
    """
    database: Any = connections[DEFAULT_DB_ALIAS]
    if database.connection is not None or (pool := database.pool) is None:
        with database.cursor() as cursor:
            cursor.execute(sql, parameters)
            rows = cursor.fetchall() if cursor.description is not None else ()
            return statements.to_dicts(sql, cursor.pgresult, rows)
    # Outside a transaction a connection of the pool is held for this statement only, and without a cursor.
    started = time.perf_counter()
    try:
        with database.wrap_database_errors:
            pool.open()
            connection = pool.getconn()
            try:
                if not connection.autocommit:
                    connection.autocommit = True
                return statements.fetch(connection, sql, parameters)
            finally:
                pool.putconn(connection)
    except DatabaseError as error:
        errors_total.labels(*_LABELS, type(error).__name__).inc()
        raise
    finally:
        _duration().observe(time.perf_counter() - started)


_LABELS = ("default", "postgresql")  # of django-prometheus: alias and vendor


@cache
def _duration() -> Any:
    return query_duration_seconds.labels(*_LABELS)


def release_connection() -> None:
    """Return this thread's connection to the pool, at the end of a request that bypassed Django's handler."""
    if connections[DEFAULT_DB_ALIAS].connection is not None:
        close_old_connections()


@contextmanager
def check_constraints_at_once() -> Iterator[None]:
    """Inside a transaction: deferrable constraints are checked after each statement, not all of them by the COMMIT.

    For many rows in several statements: the time limit of statements holds for the COMMIT, too.
    """
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        yield
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def violated_constraint(error: IntegrityError) -> str | None:
    """Return the name of the constraint that rejected a write."""
    diagnosis = getattr(error.__cause__, "diag", None)
    return diagnosis.constraint_name if diagnosis else None


def after_commit(effect: Callable[Parameters, object], *args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
    """Run `effect` after the current transaction has committed; at once if there is none.

    Effects (cache invalidation, messages, counters) must be safe to lose: an exception is logged, and does not turn
    committed work into an error response.
    """

    def run() -> None:
        try:
            effect(*args, **kwargs)
        except (OperationalError, InterfaceError, Outage) as error:
            logger.warning("effect %s lost: %s", getattr(effect, "__qualname__", effect), error)
        except Exception:
            logger.exception("effect %s failed", getattr(effect, "__qualname__", effect))

    # Without a connection there is no transaction. Asking Django for one would open a connection.
    if connections[DEFAULT_DB_ALIAS].connection is None:
        run()
    else:
        transaction.on_commit(run)
