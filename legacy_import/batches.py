"""Imports the staged rows in batches. Each batch is one transaction, which also records the progress.

All constraints hold after each batch: locked and sold seats are imported with their reservations, and reservations that are
no longer live, which may name the same seats, come last. Until the last transaction nothing is on sale (events are over and
have no layout) and nothing expires (pending reservations have no deadline), so tasks that run meanwhile find nothing to do.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from threading import Event
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from kernel.db.sql import after_commit, fetch_all, fetch_one
from legacy_import import effects, staging
from legacy_import.checksums import Checksums, compare_checksums, digest_query
from legacy_import.errors import LegacyImportError
from legacy_import.progress import ProgressBar
from legacy_import.tables import LIVE, LIVE_SEATS, TABLES, TIME_ZONE, column_values, imported_rows, is_valid, valid_rows
from seats.services import update_statuses


@dataclass(frozen=True, slots=True)
class Step:
    """A statement that imports a range of the staged rows of a table."""

    name: str
    table: str
    statement: str


_RANGE = "o.row_position > %(after)s AND o.row_position <= %(up_to)s"


def _insert(table: str, overrides: dict[str, str] | None = None, condition: str = "true") -> str:
    return (
        f"INSERT INTO {table} ({TABLES[table].column_list}) SELECT {column_values(table, 'o', overrides)}"
        f" FROM ({valid_rows(table)}) o WHERE {_RANGE} AND {condition}"
    )


def _insert_reservations(*, live: bool) -> str:
    """Imports reservations with their items, and the seats of live ones."""
    reservation, item, seat = TABLES["reservations"], TABLES["reservation_items"], TABLES["seats"]
    # Deadlines are set by the last transaction.
    deadline = f"CASE WHEN o.status <> 'pending' THEN o.expires_at AT TIME ZONE '{TIME_ZONE}' END"
    seats = f"""
        live_seat AS (
            INSERT INTO seats ({seat.column_list}) SELECT {column_values("seats", "s", {"status": "l.seat_status"})}
            FROM reservation r JOIN {LIVE_SEATS} l ON l.reservation_id = r.id JOIN {seat.staging_table} s ON s.id = l.seat_id
            WHERE {is_valid("seats", "s")}
        ),
    """
    return f"""
        WITH reservation AS MATERIALIZED (
            SELECT o.* FROM ({valid_rows("reservations")}) o WHERE {_RANGE} AND o.status {"" if live else "NOT"} IN {LIVE}
        ),
        {seats if live else ""}
        inserted AS (
            INSERT INTO reservations ({reservation.column_list})
            SELECT {column_values("reservations", "o", {"expires_at": deadline})} FROM reservation o
        )
        INSERT INTO reservation_items ({item.column_list}, is_live)
        SELECT {column_values("reservation_items", "i")}, {str(live).lower()} FROM reservation r
        JOIN {item.staging_table} i ON i.reservation_id = r.id WHERE {is_valid("reservation_items", "i")}
    """


# Of events, until the last transaction: the dates decide what is on sale, and whether the status agrees with them.
_SALE_END = f"least(o.sale_start_date AT TIME ZONE '{TIME_ZONE}', now())"
_NOT_ON_SALE = {
    "status": "'ended'",
    "sale_start_date": _SALE_END,
    "sale_end_date": _SALE_END,
    "seat_layout_id": "NULL::uuid",
}

# In this order. The steps of one line run concurrently, since they touch different rows: half of the work is indexes and
# constraints, for which a connection uses one core.
STEPS = [
    [Step("seat_layouts", "seat_layouts", _insert("seat_layouts"))],
    [Step("events", "events", _insert("events", _NOT_ON_SALE))],
    [Step("ticket_types", "ticket_types", _insert("ticket_types"))],
    [Step("keyword_mappings", "keyword_mappings", _insert("keyword_mappings"))],
    [
        Step("available seats", "seats", _insert("seats", condition="o.status = 'available'")),
        Step("live reservations", "reservations", _insert_reservations(live=True)),
    ],
    [Step("other reservations", "reservations", _insert_reservations(live=False))],
]

_OPEN_EVENTS = f"""
UPDATE events e SET status = o.status, seat_layout_id = o.seat_layout_id,
    sale_start_date = o.sale_start_date AT TIME ZONE '{TIME_ZONE}',
    sale_end_date = o.sale_end_date AT TIME ZONE '{TIME_ZONE}'
FROM ({valid_rows("events")}) o WHERE o.id = e.id
"""
# Reservations of tickets without a seat have no deadline in the old service. Here it counts from their creation.
_SET_DEADLINES = f"""
UPDATE reservations r SET expires_at = o.expires_at AT TIME ZONE '{TIME_ZONE}', held_until = CASE
    WHEN o.expires_at IS NULL THEN o.created_at AT TIME ZONE '{TIME_ZONE}' + make_interval(secs => %(seconds)s) END
FROM ({valid_rows("reservations")}) o WHERE o.id = r.id AND o.status = 'pending'
"""


def import_batches(*, batch: int, progress: ProgressBar) -> None:
    """Runs the steps that are not finished."""
    for steps in STEPS:
        if len(steps) == 1:
            _import_step(steps[0], batch, progress, Event())
            continue
        stopped = Event()
        with ThreadPoolExecutor(len(steps)) as threads:
            futures = [threads.submit(_import_in_thread, step, batch, progress, stopped) for step in steps]
            try:
                for future in as_completed(futures):
                    future.result()
            finally:
                stopped.set()
    staging.execute(f"ANALYZE {', '.join(TABLES)}")


def _import_in_thread(step: Step, batch: int, progress: ProgressBar, stopped: Event) -> None:
    """Runs a step in the current thread, with a connection of its own."""
    try:
        with staging.import_session():
            _import_step(step, batch, progress, stopped)
    finally:
        connection.close()


def _import_step(step: Step, batch: int, progress: ProgressBar, stopped: Event) -> None:
    total = fetch_one(f"SELECT coalesce(max(row_position), 0) AS rows FROM {TABLES[step.table].staging_table}", {})[
        "rows"
    ]
    progress_rows = fetch_all("SELECT up_to FROM legacy_import_steps WHERE step = %(step)s", {"step": step.name})
    done = progress_rows[0]["up_to"] if progress_rows else 0
    while done < total and not stopped.is_set():
        up_to = min(done + batch, total)
        with transaction.atomic():
            staging.execute(step.statement, {"after": done, "up_to": up_to})
            staging.execute(
                "INSERT INTO legacy_import_steps VALUES (%(step)s, %(up_to)s)"
                " ON CONFLICT (step) DO UPDATE SET up_to = excluded.up_to",
                {"step": step.name, "up_to": up_to},
            )
        done = up_to
        progress.show(f"importing {step.name}", done, total)


def finish_import() -> dict[str, Checksums]:
    """Verifies what was imported, restores the events' status and the deadlines, and ends the import, in one transaction.

    Returns the checksums by table. Raises LegacyImportError.
    """
    with transaction.atomic():
        staging.execute("SET LOCAL synchronous_commit = on")
        staging.execute(f"LOCK TABLE {', '.join(TABLES)} IN SHARE ROW EXCLUSIVE MODE")
        staging.execute(_OPEN_EVENTS)
        staging.execute(_SET_DEADLINES, {"seconds": settings.RESERVATION_SECONDS})
        checksums = {name: _verify(name) for name in TABLES}
        staging.execute("UPDATE legacy_import SET finished_at = now()")
        staging.drop_tables(with_record=False)
        events = [event["id"] for event in fetch_all("SELECT id FROM events", {})]
        after_commit(_after_import, events)
    return checksums


def _verify(name: str) -> Checksums:
    """The checksums of the imported rows. Raises LegacyImportError unless they equal the staged rows, value by value."""
    table, staged, imported = TABLES[name], f"({valid_rows(name)})", f"({imported_rows(name)})"
    checksums = staging.checksums(table, imported)
    if fetch_one(digest_query(table, staged), {}) != fetch_one(digest_query(table, imported), {}):
        differences = compare_checksums(staging.checksums(table, staged), checksums)
        raise LegacyImportError(
            f"{name} differs from what was read (there, here): {differences or 'values'}. Something else writes to this"
            " database. Nothing is on sale yet. Stop it, and run again with --start-over."
        )
    return checksums


def _after_import(event_ids: Sequence[UUID]) -> None:
    effects.events_were_imported(event_ids=event_ids)
    update_statuses()
