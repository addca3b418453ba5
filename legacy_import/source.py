"""The old service's database, which is only read: one REPEATABLE READ READ ONLY transaction, one moment for all tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from legacy_import.checksums import Measures, measured, measuring
from legacy_import.errors import CanNotMove
from legacy_import.tables import TABLES, TIME_ZONE, Table

# With this zone a column that has one, against the plan, shows the clock on the wall in Seoul like the others.
_SESSION = f"-c TimeZone={TIME_ZONE} -c DateStyle=ISO -c statement_timeout=0 -c search_path=public -c lock_timeout=60s"
CONNECT_SECONDS = 10
BLOCK_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """The old service at one moment."""

    name: str
    snapshot: str  # PostgreSQL's own name of the moment
    tables: list[Table]  # those that are there
    unknown_columns: dict[str, list[str]]  # that nobody asks for
    _connection: psycopg.Connection[dict[str, Any]]

    def rows(self, table: Table) -> int:
        return int(self._one(f"SELECT count(*) AS rows FROM public.{table.name}")["rows"])

    def measure(self, table: Table) -> Measures:
        return measured(self._all(measuring(table, f"(SELECT {_as_staged(table)} FROM public.{table.name})")))

    def versions(self) -> dict[str, str]:
        """By table, what changes with every row that is inserted, updated or deleted: the rows' own version numbers."""
        query = "SELECT count(*) || ' ' || coalesce(sum(xmin::text::bigint), 0) AS versions FROM public."
        return {table.name: self._one(f"{query}{table.name}")["versions"] for table in self.tables}

    def copied(self, table: Table) -> Iterator[tuple[bytes, int]]:
        """The rows as COPY writes them, in blocks, each with the number of its rows."""
        with self._connection.cursor() as cursor:
            query = f"COPY (SELECT {_as_staged(table)} FROM public.{table.name} ORDER BY {table.order}) TO STDOUT"
            with cursor.copy(query) as copy:
                block, rows = bytearray(), 0
                for row in copy:
                    block += row
                    rows += 1
                    if len(block) >= BLOCK_BYTES:
                        yield bytes(block), rows
                        block, rows = bytearray(), 0
                yield bytes(block), rows

    def _one(self, query: str) -> dict[str, Any]:
        (row,) = self._all(query)
        return row

    def _all(self, query: str) -> list[dict[str, Any]]:
        return self._connection.execute(query).fetchall()


@contextmanager
def reading(dsn: str) -> Iterator[Source]:
    """Opens the old service's database and looks what is there. Raises CanNotMove."""
    try:
        connection = psycopg.connect(
            dsn,
            row_factory=dict_row,
            options=_SESSION,
            connect_timeout=CONNECT_SECONDS,
            application_name="import_legacy",
        )
    except psycopg.Error as error:
        raise CanNotMove(f"The old service's database can not be reached: {error}") from error
    with connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        where = connection.info
        found = connection.execute("SELECT txid_current_snapshot()::text AS snapshot").fetchone() or {}
        tables, unknown = _tables_of(connection)
        yield Source(
            f"{where.dbname} at {where.host or 'localhost'}:{where.port}",
            found["snapshot"],
            tables,
            unknown,
            connection,
        )


def _tables_of(connection: psycopg.Connection[dict[str, Any]]) -> tuple[list[Table], dict[str, list[str]]]:
    """The plan's tables that are there, and further columns. Raises CanNotMove when something of the plan is missing."""
    there: dict[str, list[str]] = {}
    columns = connection.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
    )
    for column in columns:
        there.setdefault(column["table_name"], []).append(column["column_name"])
    missing = []
    for table in TABLES.values():
        if table.name not in there and not table.may_be_missing:
            missing.append(table.name)
        elif table.name in there:
            missing += [f"{table.name}.{name}" for name in table.columns if name not in there[table.name]]
    if missing:
        raise CanNotMove(
            f"That is not the old service's database, or it may not be read. Missing: {', '.join(missing)}."
        )
    tables = [table for table in TABLES.values() if table.name in there]
    unknown = {table.name: [name for name in there[table.name] if name not in table.columns] for table in tables}
    return tables, {name: columns for name, columns in unknown.items() if columns}


def _as_staged(table: Table) -> str:
    return ", ".join(
        f"{name}::timestamp AS {name}" if type_ == "timestamp" else name for name, type_ in table.columns.items()
    )
