"""Statements in one round trip by libpq itself: psycopg converts what goes in and out, and its cursors stay out of the way.

For a short statement a cursor takes longer than PostgreSQL. Like psycopg we prepare what a connection has seen before.
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

JSONB = 3802  # the type's number in PostgreSQL
MAX_STATEMENTS = 1000  # of a connection, and of this process; ours are constants

_NO_SUCH_NAME = b"26000"  # psycopg takes back all that is prepared after a rollback, ours included
_NAME_EXISTS = b"42P05"  # prepared on this connection by another client of a pooling proxy: the same statement

_PLACEHOLDER = re.compile(r"%(?:\((\w+)\)s|%)")


@lru_cache(MAX_STATEMENTS)
def _numbered(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """`%(name)s` as `$1`, and the names in the order of their numbers."""
    names = list(dict.fromkeys(name for name in _PLACEHOLDER.findall(sql) if name))

    def number(found: re.Match[str]) -> str:
        return f"${names.index(found[1]) + 1}" if found[1] else "%"

    return _PLACEHOLDER.sub(number, sql).encode(), tuple(names)


class _Prepared:
    """What one connection knows."""

    def __init__(self, connection: "Connection[Any]") -> None:
        self.transformer: Any = Transformer(connection.adapters)  # not the connection, which would never end then
        self.names: dict[tuple[str, tuple[int, ...]], bytes] = {}  # by statement and types; empty: seen once


_known: "WeakKeyDictionary[Connection[Any], _Prepared]" = WeakKeyDictionary()


def fetch(connection: "Connection[Any]", sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All rows, by column name. The connection is nobody else's meanwhile. Raises psycopg's errors."""
    if (known := _known.get(connection)) is None:
        known = _known[connection] = _Prepared(connection)
    text, names = _numbered(sql)
    transformer = known.transformer
    values = transformer.dump_sequence([parameters[name] for name in names], [PyFormat.AUTO] * len(names))
    types, formats = transformer.types or (), transformer.formats
    libpq: Any = connection.pgconn
    result = None
    if name := _name(connection, known, sql, text, types):
        result = libpq.exec_prepared(name, values, formats)
        if result.error_field(DiagnosticField.SQLSTATE) == _NO_SUCH_NAME:  # and so nothing was done
            known.names.clear()
            result = None
    if result is None:
        result = libpq.exec_params(text, values, types, formats)
    return _rows(sql, transformer, _checked(connection, result))


def _name(connection: "Connection[Any]", known: _Prepared, sql: str, text: bytes, types: Sequence[int]) -> bytes:
    """Of the prepared statement; empty if it is not worth preparing yet, or nothing is to be prepared."""
    if connection.prepare_threshold is None:  # a proxy in between may not know what was prepared
        return b""
    key = sql, tuple(types)
    if (name := known.names.get(key)) is None:
        if len(known.names) < MAX_STATEMENTS:
            known.names[key] = b""
    elif not name:
        name = _name_of(text, types)
        result = connection.pgconn.prepare(name, text, types)
        if result.error_field(DiagnosticField.SQLSTATE) != _NAME_EXISTS:
            _checked(connection, result)
        known.names[key] = name
    return name or b""


def _name_of(text: bytes, types: Sequence[int]) -> bytes:
    """One name for one statement, whichever process prepares it: names that count up collide behind a pooling proxy."""
    return b"ours_" + sha256(text + repr(tuple(types)).encode()).hexdigest()[:32].encode()


def _checked(connection: "Connection[Any]", result: Any) -> Any:
    if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        return result
    if connection.pgconn.status == ConnStatus.BAD or not result.error_field(DiagnosticField.SQLSTATE):
        raise OperationalError(result.get_error_message())
    raise errors.error_from_result(result)


def _rows(sql: str, transformer: Any, result: Any) -> list[dict[str, Any]]:
    transformer.set_pgresult(result)
    try:
        rows = transformer.load_rows(0, result.ntuples, tuple) if result.nfields else [()] * result.ntuples
        return named(sql, result, rows)
    finally:
        transformer.set_pgresult(None)


_columns: dict[str, list[tuple[str, bool]]] = {}


def named(sql: str, result: Any, rows: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    """The rows of libpq's result, by column name; jsonb is decoded (Django has told psycopg to leave it as text)."""
    if (columns := _columns.get(sql)) is None:
        columns = [((result.fname(n) or b"").decode(), result.ftype(n) == JSONB) for n in range(result.nfields)]
        if len(_columns) < MAX_STATEMENTS:
            _columns[sql] = columns
    return [
        {
            name: orjson.loads(value) if is_json and value is not None else value
            for (name, is_json), value in zip(columns, row, strict=True)
        }
        for row in rows
    ]
