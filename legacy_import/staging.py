"""The stage: a copy of the old service's tables in this database, made in one transaction, from which rows are then moved.

Beside it is the record of the move (`legacy_import`, one row) and how far each step has come (`legacy_import_steps`).
The record stays when the move is over; the rest goes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import psycopg
from django.db import OperationalError, connection

from kernel.db.sql import fetch_all, fetch_one
from legacy_import.checksums import Measures, difference, measured, measuring
from legacy_import.errors import CanNotMove
from legacy_import.progress import Progress
from legacy_import.source import Source
from legacy_import.tables import HELD, REFUSED, TABLES, Table

_RECORD = f"""
CREATE TABLE legacy_import (
    source text NOT NULL, snapshot text NOT NULL, snapshot_at timestamptz NOT NULL DEFAULT now(), versions jsonb NOT NULL,
    finished_at timestamptz
);
CREATE TABLE legacy_import_steps (step text PRIMARY KEY, up_to bigint NOT NULL);
CREATE TABLE {REFUSED} (
    table_name text, place bigint, id uuid, reason text, detail text, PRIMARY KEY (table_name, place, reason)
);
CREATE TABLE {HELD} (seat_id uuid PRIMARY KEY, reservation_id uuid NOT NULL, seat_status text NOT NULL);
"""
_INDEXES = f"""
CREATE INDEX ON legacy_import_seats (id);
CREATE INDEX ON legacy_import_reservation_items (reservation_id);
CREATE INDEX ON {HELD} (reservation_id);
ANALYZE legacy_import_seats, legacy_import_reservations, legacy_import_reservation_items;
"""
_SETTINGS = {
    "statement_timeout": "0",
    "lock_timeout": "60s",
    "idle_in_transaction_session_timeout": "0",
    # What a crash of PostgreSQL takes with it is moved again: how far it has come is in the same transaction.
    "synchronous_commit": "off",
    "work_mem": "128MB",
    "maintenance_work_mem": "256MB",
    "jit": "off",
    "plan_cache_mode": "auto",
    # The session of a move that was killed ends soon, and with it its lock, also in the middle of a statement.
    "client_connection_check_interval": "1s",
}
ADVISORY_LOCK = 7_046_029_254_386_353


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Which move this database has seen."""

    source: str
    snapshot: str
    snapshot_at: datetime
    versions: dict[str, str]
    finished_at: datetime | None


@contextmanager
def patient_session() -> Iterator[None]:
    """Of this thread's connection."""
    run("; ".join(f"SET {name} = '{value}'" for name, value in _SETTINGS.items()))
    try:
        yield
    finally:
        if connection.is_usable():
            run("; ".join(f"RESET {name}" for name in _SETTINGS))


@contextmanager
def only_one() -> Iterator[None]:
    """One move at a time, in a patient session. Raises CanNotMove."""
    with patient_session():
        try:
            fetch_all("SELECT pg_advisory_lock(%(lock)s)", {"lock": ADVISORY_LOCK})
        except OperationalError as error:
            raise CanNotMove(f"Another move into this database is running: {error}") from error
        try:
            yield
        finally:
            if connection.is_usable():
                run(f"SELECT pg_advisory_unlock({ADVISORY_LOCK})")


def record() -> Record | None:
    if not fetch_one("SELECT to_regclass('legacy_import') IS NOT NULL AS is_there", {})["is_there"]:
        return None
    return Record(**fetch_one("SELECT source, snapshot, snapshot_at, versions, finished_at FROM legacy_import", {}))


def fill(source: Source, progress: Progress) -> None:
    """Copies the old service's tables as they are. Within the caller's transaction. Raises CanNotMove."""
    run(_RECORD)
    for table in TABLES.values():
        columns = ", ".join(f"{name} {type_}" for name, type_ in table.columns.items())
        run(f"CREATE TABLE {table.stage} (place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {columns})")
    for table in source.tables:
        try:
            _copy(source, table, progress)
        except psycopg.DataError as error:
            raise CanNotMove(f"{table.name} has something else than the plan says: {error}") from error
        differs = difference(source.measure(table), measure(table, table.stage))
        if differs:
            raise CanNotMove(f"{table.name} was not copied as it is (there, here): {differs}")
    run(_INDEXES)
    run(
        "INSERT INTO legacy_import (source, snapshot, versions) VALUES (%(source)s, %(snapshot)s, %(versions)s::jsonb)",
        {"source": source.name, "snapshot": source.snapshot, "versions": orjson.dumps(source.versions()).decode()},
    )


def _copy(source: Source, table: Table, progress: Progress) -> None:
    done, total = 0, source.rows(table)
    with connection.cursor() as cursor, cursor.copy(f"COPY {table.stage} ({table.column_list}) FROM STDIN") as copy:
        for block, rows in source.copied(table):
            copy.write(block)
            done += rows
            progress.show(f"reading {table.name}", done, total)


def measure(table: Table, rows: str) -> Measures:
    return measured(fetch_all(measuring(table, rows), {}))


def refuse_strangers() -> None:
    """Raises CanNotMove when there are rows here that the move has not brought."""
    counts = {}
    for table in TABLES.values():
        known = f"SELECT FROM {table.stage} o WHERE o.id = t.id"
        counts[table.name] = fetch_one(f"SELECT count(*) AS rows FROM {table.name} t WHERE NOT EXISTS ({known})", {})
    _refuse_rows({name: found["rows"] for name, found in counts.items()})


def refuse_what_is_there() -> None:
    """Raises CanNotMove unless the tables are empty."""
    _refuse_rows({name: _count(name) for name in TABLES})


def take_back() -> None:
    """Empties the tables of what an unfinished move has brought, and forgets the move.

    Raises CanNotMove when there are rows here that it has not brought, or rows of other tables that refer to its rows.
    """
    refuse_strangers()
    referring = fetch_all(
        "SELECT DISTINCT conrelid::regclass::text AS name FROM pg_constraint WHERE contype = 'f'"
        " AND confrelid = ANY(%(tables)s::regclass[]) AND conrelid <> ALL(%(tables)s::regclass[])",
        {"tables": list(TABLES)},
    )
    others = [table["name"] for table in referring]
    _refuse_rows({name: _count(name) for name in others})
    run(f"TRUNCATE {', '.join([*TABLES, *others])}")
    drop(with_record=True)


def _count(table: str) -> int:
    rows: int = fetch_one(f"SELECT count(*) AS rows FROM {table}", {})["rows"]
    return rows


def _refuse_rows(counts: dict[str, int]) -> None:
    there = ", ".join(f"{name} {rows:,}" for name, rows in counts.items() if rows)
    if there:
        raise CanNotMove(
            f"This database has rows that did not come from this move, and nothing is overwritten: {there}."
        )


def drop(*, with_record: bool) -> None:
    """Without the record, another move may begin. What was refused stays for who wants to look it up."""
    names = [*(table.stage for table in TABLES.values()), HELD, "legacy_import_steps"]
    if with_record:
        names += [REFUSED, "legacy_import"]
    run(f"DROP TABLE {', '.join(names)}")


def run(statement: str, parameters: dict[str, Any] | None = None) -> int:
    """A statement that returns nothing; several, if without parameters. How many rows the last one touched."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows: int = cursor.rowcount
        return rows
