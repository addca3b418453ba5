"""Staging tables: a copy of the old service's tables in this database, made in one transaction.

Rows are imported from them in batches. The record of the import (`legacy_import`, one row) and the progress of each step
(`legacy_import_steps`) are kept beside them. The record stays after the import; the rest is dropped.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import psycopg
from django.db import OperationalError, connection

from kernel.db.sql import fetch_all, fetch_one
from legacy_import.checksums import Checksums, checksum_query, combine_checksums, compare_checksums
from legacy_import.errors import LegacyImportError
from legacy_import.progress import ProgressBar
from legacy_import.source import Source
from legacy_import.tables import INVALID, LIVE_SEATS, TABLES, Table

_RECORD = f"""
CREATE TABLE legacy_import (
    source text NOT NULL, snapshot text NOT NULL, snapshot_at timestamptz NOT NULL DEFAULT now(), versions jsonb NOT NULL,
    finished_at timestamptz
);
CREATE TABLE legacy_import_steps (step text PRIMARY KEY, up_to bigint NOT NULL);
CREATE TABLE {INVALID} (
    table_name text, row_position bigint, id uuid, problem text, detail text,
    PRIMARY KEY (table_name, row_position, problem)
);
CREATE TABLE {LIVE_SEATS} (seat_id uuid PRIMARY KEY, reservation_id uuid NOT NULL, seat_status text NOT NULL);
"""
_INDEXES = f"""
CREATE INDEX ON legacy_import_seats (id);
CREATE INDEX ON legacy_import_reservation_items (reservation_id);
CREATE INDEX ON {LIVE_SEATS} (reservation_id);
ANALYZE legacy_import_seats, legacy_import_reservations, legacy_import_reservation_items;
"""
_SETTINGS = {
    "statement_timeout": "0",
    "lock_timeout": "60s",
    "idle_in_transaction_session_timeout": "0",
    # Batches lost in a crash of PostgreSQL are imported again: the progress is written in the same transaction.
    "synchronous_commit": "off",
    "work_mem": "128MB",
    "maintenance_work_mem": "256MB",
    "jit": "off",
    "plan_cache_mode": "auto",
    # Ends the session of a killed import soon, even during a statement, and releases its lock.
    "client_connection_check_interval": "1s",
}
ADVISORY_LOCK = 7_046_029_254_386_353


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The import that this database has seen."""

    source: str
    snapshot: str
    snapshot_at: datetime
    versions: dict[str, str]
    finished_at: datetime | None


@contextmanager
def import_session() -> Iterator[None]:
    """Applies the import's settings to this thread's connection."""
    # Not RESET: our own settings are made after connecting, and RESET would give those of the server.
    before = fetch_one(f"SELECT {', '.join(f'current_setting({name!r}) AS {name}' for name in _SETTINGS)}", {})
    _set(_SETTINGS)
    try:
        yield
    finally:
        if connection.is_usable():
            _set(before)


def _set(settings: Mapping[str, str]) -> None:
    execute("; ".join(f"SET {name} = '{value}'" for name, value in settings.items()))


@contextmanager
def exclusive_session() -> Iterator[None]:
    """An import session of which only one can be open at a time. Raises LegacyImportError."""
    with import_session():
        try:
            fetch_all("SELECT pg_advisory_lock(%(lock)s)", {"lock": ADVISORY_LOCK})
        except OperationalError as error:
            raise LegacyImportError(f"Another import into this database is running: {error}") from error
        try:
            yield
        finally:
            if connection.is_usable():
                execute(f"SELECT pg_advisory_unlock({ADVISORY_LOCK})")


def load_record() -> Record | None:
    if not fetch_one("SELECT to_regclass('legacy_import') IS NOT NULL AS exists", {})["exists"]:
        return None
    return Record(**fetch_one("SELECT source, snapshot, snapshot_at, versions, finished_at FROM legacy_import", {}))


def fill(source: Source, progress: ProgressBar) -> None:
    """Copies the old service's tables unchanged, in the caller's transaction. Raises LegacyImportError."""
    execute(_RECORD)
    for table in TABLES.values():
        columns = ", ".join(f"{name} {type_}" for name, type_ in table.columns.items())
        execute(
            f"CREATE TABLE {table.staging_table} (row_position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {columns})"
        )
    for table in source.tables:
        try:
            _copy(source, table, progress)
        except psycopg.DataError as error:
            raise LegacyImportError(f"{table.name} has a value that does not fit the plan's column: {error}") from error
        differences = compare_checksums(source.checksums(table), checksums(table, table.staging_table))
        if differences:
            raise LegacyImportError(f"The copy of {table.name} differs (there, here): {differences}")
    execute(_INDEXES)
    execute(
        "INSERT INTO legacy_import (source, snapshot, versions) VALUES (%(source)s, %(snapshot)s, %(versions)s::jsonb)",
        {
            "source": source.name,
            "snapshot": source.snapshot,
            "versions": orjson.dumps(source.row_versions()).decode(),
        },
    )


def _copy(source: Source, table: Table, progress: ProgressBar) -> None:
    done, total = 0, source.count_rows(table)
    copy_query = f"COPY {table.staging_table} ({table.column_list}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(copy_query) as copy:
        for block, rows in source.copy_rows(table):
            copy.write(block)
            done += rows
            progress.show(f"reading {table.name}", done, total)


def checksums(table: Table, rows: str) -> Checksums:
    return combine_checksums(fetch_all(checksum_query(table, rows), {}))


DERIVED = {"event_search"}  # the service itself makes their rows from those of others


def check_only_imported_rows() -> None:
    """Raises LegacyImportError if the tables have rows that the import did not write."""
    counts = {}
    for table in TABLES.values():
        staged = f"SELECT FROM {table.staging_table} o WHERE o.id = t.id"
        row = fetch_one(f"SELECT count(*) AS rows FROM {table.name} t WHERE NOT EXISTS ({staged})", {})
        counts[table.name] = row["rows"]
    _check_no_rows(counts)


def check_tables_are_empty() -> None:
    """Raises LegacyImportError unless the tables are empty."""
    _check_no_rows({name: _count(name) for name in TABLES})


def delete_imported_rows() -> None:
    """Empties the tables and deletes the record of an unfinished import.

    Raises LegacyImportError if there are rows that the import did not write, or rows of other tables that refer to its
    rows.
    """
    check_only_imported_rows()
    referring = fetch_all(
        "SELECT DISTINCT conrelid::regclass::text AS name FROM pg_constraint WHERE contype = 'f'"
        " AND confrelid = ANY(%(tables)s::regclass[]) AND conrelid <> ALL(%(tables)s::regclass[])",
        {"tables": list(TABLES)},
    )
    other_tables = [table["name"] for table in referring]
    _check_no_rows({name: _count(name) for name in other_tables if name not in DERIVED})
    execute(f"TRUNCATE {', '.join([*TABLES, *other_tables])}")
    drop_tables(with_record=True)


def _count(table: str) -> int:
    rows: int = fetch_one(f"SELECT count(*) AS rows FROM {table}", {})["rows"]
    return rows


def _check_no_rows(counts: dict[str, int]) -> None:
    existing = ", ".join(f"{name} {rows:,}" for name, rows in counts.items() if rows)
    if existing:
        raise LegacyImportError(
            f"This database has rows that the import did not write, and nothing is overwritten: {existing}."
        )


def drop_tables(*, with_record: bool) -> None:
    """Drops the staging tables, and with the record also the list of invalid rows. Another import can then start."""
    names = [*(table.staging_table for table in TABLES.values()), LIVE_SEATS, "legacy_import_steps"]
    if with_record:
        names += [INVALID, "legacy_import"]
    execute(f"DROP TABLE {', '.join(names)}")


def execute(statement: str, parameters: dict[str, Any] | None = None) -> int:
    """Runs a statement, or several without parameters. Returns the number of rows of the last one."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows: int = cursor.rowcount
        return rows
