"""The old service's database, read in one REPEATABLE READ READ ONLY transaction: one snapshot for all tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from legacy_import.checksums import Checksums, checksum_query, combine_checksums
from legacy_import.errors import LegacyImportError
from legacy_import.tables import TABLES, TIME_ZONE, Table

# Columns that have a time zone, against the plan, then show local time in Seoul like the others.
_SESSION = f"-c TimeZone={TIME_ZONE} -c DateStyle=ISO -c statement_timeout=0 -c search_path=public -c lock_timeout=60s"
CONNECT_SECONDS = 10
BLOCK_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """A snapshot of the old service's database."""

    name: str
    snapshot: str  # as PostgreSQL names it
    tables: list[Table]  # those that exist
    unknown_columns: dict[str, list[str]]  # by table; they are not imported
    _connection: psycopg.Connection[dict[str, Any]]

    def count_rows(self, table: Table) -> int:
        return int(self._fetch_one(f"SELECT count(*) AS rows FROM public.{table.name}")["rows"])

    def checksums(self, table: Table) -> Checksums:
        rows = f"(SELECT {_staged_columns(table)} FROM public.{table.name})"
        return combine_checksums(self._fetch_all(checksum_query(table, rows)))

    def row_versions(self) -> dict[str, str]:
        """By table, a value that changes with every row inserted, updated or deleted: from the row versions (xmin)."""
        query = "SELECT count(*) || ' ' || coalesce(sum(xmin::text::bigint), 0) AS versions FROM public."
        return {table.name: self._fetch_one(f"{query}{table.name}")["versions"] for table in self.tables}

    def copy_rows(self, table: Table) -> Iterator[tuple[bytes, int]]:
        """The rows as blocks of COPY data, each with its number of rows."""
        with self._connection.cursor() as cursor:
            query = f"COPY (SELECT {_staged_columns(table)} FROM public.{table.name} ORDER BY {table.order}) TO STDOUT"
            with cursor.copy(query) as copy:
                block, rows = bytearray(), 0
                for row in copy:
                    block += row
                    rows += 1
                    if len(block) >= BLOCK_BYTES:
                        yield bytes(block), rows
                        block, rows = bytearray(), 0
                yield bytes(block), rows

    def _fetch_one(self, query: str) -> dict[str, Any]:
        (row,) = self._fetch_all(query)
        return row

    def _fetch_all(self, query: str) -> list[dict[str, Any]]:
        return self._connection.execute(query).fetchall()


@contextmanager
def open_source(dsn: str) -> Iterator[Source]:
    """Connects to the old service's database and takes a snapshot. Raises LegacyImportError."""
    try:
        connection = psycopg.connect(
            dsn,
            row_factory=dict_row,
            options=_SESSION,
            connect_timeout=CONNECT_SECONDS,
            application_name="import_legacy",
        )
    except psycopg.Error as error:
        raise LegacyImportError(f"Cannot connect to the old service's database: {error}") from error
    with connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        info = connection.info
        row = connection.execute("SELECT txid_current_snapshot()::text AS snapshot").fetchone() or {}
        tables, unknown = _find_tables(connection)
        yield Source(
            f"{info.dbname} at {info.host or 'localhost'}:{info.port}",
            row["snapshot"],
            tables,
            unknown,
            connection,
        )


def _find_tables(connection: psycopg.Connection[dict[str, Any]]) -> tuple[list[Table], dict[str, list[str]]]:
    """The plan's tables that exist, and unknown columns by table. Raises LegacyImportError if a column is missing."""
    existing: dict[str, list[str]] = {}
    columns = connection.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
    )
    for column in columns:
        existing.setdefault(column["table_name"], []).append(column["column_name"])
    missing = []
    for table in TABLES.values():
        if table.name not in existing and not table.is_optional:
            missing.append(table.name)
        elif table.name in existing:
            missing += [f"{table.name}.{name}" for name in table.columns if name not in existing[table.name]]
    if missing:
        raise LegacyImportError(
            f"This is not the old service's database, or its tables cannot be read. Missing: {', '.join(missing)}."
        )
    tables = [table for table in TABLES.values() if table.name in existing]
    unknown = {table.name: [name for name in existing[table.name] if name not in table.columns] for table in tables}
    return tables, {name: columns for name, columns in unknown.items() if columns}


def _staged_columns(table: Table) -> str:
    return ", ".join(
        f"{name}::timestamp AS {name}" if type_ == "timestamp" else name for name, type_ in table.columns.items()
    )
