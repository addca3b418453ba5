"""Prepared statements, executed by libpq without psycopg's cursors.

psycopg still converts parameters and results. For a short statement a cursor takes more CPU time than PostgreSQL does.
Like psycopg, this module prepares a statement when a connection executes it for the second time.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any
from weakref import WeakKeyDictionary

import orjson
from psycopg import Connection, OperationalError, errors
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus

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
        raise OperationalError(result.get_error_message())
    raise errors.error_from_result(result)


def _load(sql: str, transformer: Any, result: Any) -> list[dict[str, Any]]:
    transformer.set_pgresult(result)
    try:
        rows = transformer.load_rows(0, result.ntuples, tuple) if result.nfields else [()] * result.ntuples
        return to_dicts(sql, result, rows)
    finally:
        transformer.set_pgresult(None)  # or the last result would stay in memory


_columns: dict[str, list[tuple[str, bool]]] = {}  # by SQL: name, and whether it is jsonb


def to_dicts(sql: str, result: Any, rows: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
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
