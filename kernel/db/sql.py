"""Raw SQL in one round trip, and effects that run after the commit.

Outside transactions prepared statements are executed by libpq, without psycopg's cursors: for a short statement a cursor
takes more CPU time than PostgreSQL does. psycopg still converts parameters and results. Like psycopg, this module
prepares a statement when a connection executes it for the second time.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from hashlib import sha256
from typing import Any, ParamSpec
from weakref import WeakKeyDictionary

import orjson
import psycopg
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
from psycopg import Connection, errors
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus
from psycopg.rows import dict_row

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
            return _to_dicts(sql, cursor.pgresult, rows)
    # Outside a transaction a connection of the pool is held for this statement only, and without a cursor.
    started = time.perf_counter()
    try:
        with database.wrap_database_errors:
            pool.open()
            connection = pool.getconn()
            try:
                if not connection.autocommit:
                    connection.autocommit = True
                return fetch(connection, sql, parameters)
            finally:
                pool.putconn(connection)
    except DatabaseError as error:
        errors_total.labels(*_LABELS, type(error).__name__).inc()
        raise
    finally:
        _duration().observe(time.perf_counter() - started)


def fetch_planned(
    sql: str, parameters: Mapping[str, Any], *, by_index: bool = False, session: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Like `fetch_all`, for a statement whose best plan depends on its values: it is planned with them, each time.

    `by_index`: conditions are answered by indexes, all that can be, rather than compared with rows: for comparisons that
    cost much more than the planner believes. `session`: values of settings of PostgreSQL, for this statement.
    """
    database: Any = connections[DEFAULT_DB_ALIAS]
    database.ensure_connection()
    started = time.perf_counter()
    with database.wrap_database_errors, psycopg.ClientCursor(database.connection, row_factory=dict_row) as cursor:
        chosen = (_BY_INDEX if by_index else _PLANNED) | dict(session or {})
        before = "".join(f"SET LOCAL {name} = {value}; " for name, value in chosen.items())
        after = "".join(f"; SET LOCAL {name} TO DEFAULT" for name in chosen)
        cursor.execute(f"{before}{sql}{after}", parameters)
        for _ in chosen:
            cursor.nextset()
        rows = cursor.fetchall()
    _duration().observe(time.perf_counter() - started)
    return rows


# Starting other processes, or compiling, takes longer than the statements of a request.
_PLANNED = {"max_parallel_workers_per_gather": "0", "jit": "off"}
# A row costs a thousand times what PostgreSQL assumes, and only bitmaps of an index do without reading them all.
_BY_INDEX = _PLANNED | {
    "cpu_tuple_cost": "10", "random_page_cost": "1", "enable_seqscan": "off", "enable_indexscan": "off",
}  # fmt: skip
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


# --- By libpq, without psycopg's cursors ------------------------------------------------------------------------------

JSONB_OID = 3802
MAX_STATEMENTS = 1000  # for each connection, and for each cache of this process; our statements are constants

_INVALID_STATEMENT_NAME = b"26000"  # after a rollback psycopg deallocates every statement, ours included
_DUPLICATE_STATEMENT = b"42P05"  # another client of a pooling proxy has prepared it on this server connection

_PLACEHOLDER = re.compile(r"%(?:\((\w+)\)s|%)")


@lru_cache(MAX_STATEMENTS)
def _to_positional(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """Return `sql` with `$1` for each `%(name)s`, and the names in that order."""
    names = list(dict.fromkeys(name for name in _PLACEHOLDER.findall(sql) if name))

    def number(match: re.Match[str]) -> str:
        return f"${names.index(match[1]) + 1}" if match[1] else "%"

    return _PLACEHOLDER.sub(number, sql).encode(), tuple(names)


class _ConnectionState:
    """The converter of one connection, and the statements that are prepared on it."""

    def __init__(self, connection: "Connection[Any]") -> None:
        # With the adapters, not the connection: a reference to it would keep its entry of `_states` alive.
        self.transformer: Any = Transformer(connection.adapters)
        self.names: dict[tuple[str, tuple[int, ...]], bytes] = {}  # by SQL and parameter types; empty: seen once


_states: "WeakKeyDictionary[Connection[Any], _ConnectionState]" = WeakKeyDictionary()


def fetch(connection: "Connection[Any]", sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all rows, by column name. Only one thread may use the connection meanwhile. Raises psycopg's errors."""
    if (state := _states.get(connection)) is None:
        state = _states[connection] = _ConnectionState(connection)
    query, names = _to_positional(sql)
    transformer = state.transformer
    values = transformer.dump_sequence([parameters[name] for name in names], [PyFormat.AUTO] * len(names))
    types, formats = transformer.types or (), transformer.formats
    libpq: Any = connection.pgconn
    result = None
    if name := _prepare(connection, state, sql, query, types):
        result = libpq.exec_prepared(name, values, formats)
        # PostgreSQL does nothing at all for an unknown name, so the statement can be executed again.
        if result.error_field(DiagnosticField.SQLSTATE) == _INVALID_STATEMENT_NAME:
            state.names.clear()
            result = None
    if result is None:
        result = libpq.exec_params(query, values, types, formats)
    return _load(sql, transformer, _check(connection, result))


def _prepare(
    connection: "Connection[Any]", state: _ConnectionState, sql: str, query: bytes, types: Sequence[int]
) -> bytes:
    """Return the name of the prepared statement, or nothing the first time, and where preparing is disabled."""
    if connection.prepare_threshold is None:  # there is a proxy that does not track prepared statements
        return b""
    key = sql, tuple(types)
    if (name := state.names.get(key)) is None:
        if len(state.names) < MAX_STATEMENTS:
            state.names[key] = b""
    elif not name:
        name = _statement_name(query, types)
        result = connection.pgconn.prepare(name, query, types)
        if result.error_field(DiagnosticField.SQLSTATE) != _DUPLICATE_STATEMENT:
            _check(connection, result)
        state.names[key] = name
    return name or b""


def _statement_name(query: bytes, types: Sequence[int]) -> bytes:
    """Return a name made from the statement itself, the same in every process."""
    # Names that count up, such as psycopg's, collide behind a pooling proxy: one name, two statements.
    return b"stmt_" + sha256(query + repr(tuple(types)).encode()).hexdigest()[:32].encode()


def _check(connection: "Connection[Any]", result: Any) -> Any:
    if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        return result
    if connection.pgconn.status == ConnStatus.BAD or not result.error_field(DiagnosticField.SQLSTATE):
        raise psycopg.OperationalError(result.get_error_message())
    raise errors.error_from_result(result)


def _load(sql: str, transformer: Any, result: Any) -> list[dict[str, Any]]:
    transformer.set_pgresult(result)
    try:
        rows = transformer.load_rows(0, result.ntuples, tuple) if result.nfields else [()] * result.ntuples
        return _to_dicts(sql, result, rows)
    finally:
        transformer.set_pgresult(None)  # or the last result would stay in memory


_columns: dict[str, list[tuple[str, bool]]] = {}  # by SQL: name, and whether it is jsonb


def _to_dicts(sql: str, result: Any, rows: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    """Return the rows of a libpq result by column name, jsonb decoded. Django makes psycopg return jsonb as text."""
    if (columns := _columns.get(sql)) is None:
        columns = [((result.fname(n) or b"").decode(), result.ftype(n) == JSONB_OID) for n in range(result.nfields)]
        if len(_columns) < MAX_STATEMENTS:
            _columns[sql] = columns
    return [
        {
            name: orjson.loads(value) if is_json and value is not None else value
            for (name, is_json), value in zip(columns, row, strict=True)
        }
        for row in rows
    ]
