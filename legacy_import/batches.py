"""From the stage into the tables, in batches, each with how far it has come in one transaction.

After each batch every rule of the database holds: a seat that is taken comes with the reservation that holds it, and the
other reservations, which may name such a seat, come last. Until the last transaction nothing is on sale (events count as
ended and have no layout) and nothing runs out (what is pending has no deadline), so that tasks that run meanwhile find
nothing to do.
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
from legacy_import.checksums import Measures, difference, digesting
from legacy_import.errors import CanNotMove
from legacy_import.progress import Progress
from legacy_import.tables import HELD, LIVE, TABLES, TIME_ZONE, is_kept, kept, moved, values
from seats.services import update_statuses


@dataclass(frozen=True, slots=True)
class Step:
    """What is done with a range of a table's rows in the stage."""

    name: str
    table: str
    statement: str


_RANGE = "o.place > %(after)s AND o.place <= %(up_to)s"


def _insert(table: str, instead: dict[str, str] | None = None, condition: str = "true") -> str:
    return (
        f"INSERT INTO {table} ({TABLES[table].column_list}) SELECT {values(table, 'o', instead)}"
        f" FROM ({kept(table)}) o WHERE {_RANGE} AND {condition}"
    )


def _insert_reservations(*, live: bool) -> str:
    """Reservations with their items, and the seats that live ones hold."""
    reservation, item, seat = TABLES["reservations"], TABLES["reservation_items"], TABLES["seats"]
    # Until the end, nothing pending has a deadline.
    deadline = f"CASE WHEN o.status <> 'pending' THEN o.expires_at AT TIME ZONE '{TIME_ZONE}' END"
    seats = f"""
        held_seat AS (
            INSERT INTO seats ({seat.column_list}) SELECT {values("seats", "s", {"status": "h.seat_status"})}
            FROM reservation r JOIN {HELD} h ON h.reservation_id = r.id JOIN {seat.stage} s ON s.id = h.seat_id
            WHERE {is_kept("seats", "s")}
        ),
    """
    return f"""
        WITH reservation AS MATERIALIZED (
            SELECT o.* FROM ({kept("reservations")}) o WHERE {_RANGE} AND o.status {"" if live else "NOT"} IN {LIVE}
        ),
        {seats if live else ""}
        inserted AS (
            INSERT INTO reservations ({reservation.column_list})
            SELECT {values("reservations", "o", {"expires_at": deadline})} FROM reservation o
        )
        INSERT INTO reservation_items ({item.column_list}, is_live)
        SELECT {values("reservation_items", "i")}, {str(live).lower()} FROM reservation r
        JOIN {item.stage} i ON i.reservation_id = r.id WHERE {is_kept("reservation_items", "i")}
    """


# One after the other; those of one line at once, since they do not meet: half the work is indexes and constraints, on one
# core for each connection.
STEPS = [
    [Step("seat_layouts", "seat_layouts", _insert("seat_layouts"))],
    [Step("events", "events", _insert("events", {"status": "'ended'", "seat_layout_id": "NULL::uuid"}))],
    [Step("ticket_types", "ticket_types", _insert("ticket_types"))],
    [Step("keyword_mappings", "keyword_mappings", _insert("keyword_mappings"))],
    [
        Step("free seats", "seats", _insert("seats", condition="o.status = 'available'")),
        Step("live reservations", "reservations", _insert_reservations(live=True)),
    ],
    [Step("other reservations", "reservations", _insert_reservations(live=False))],
]

_OPEN_EVENTS = f"""
UPDATE events e SET status = o.status, seat_layout_id = o.seat_layout_id FROM ({kept("events")}) o WHERE o.id = e.id
"""
# A deadline that the old service did not give (tickets without a seat) counts from when the reservation was made.
_SET_DEADLINES = f"""
UPDATE reservations r SET expires_at = o.expires_at AT TIME ZONE '{TIME_ZONE}', held_until = CASE
    WHEN o.expires_at IS NULL THEN o.created_at AT TIME ZONE '{TIME_ZONE}' + make_interval(secs => %(seconds)s) END
FROM ({kept("reservations")}) o WHERE o.id = r.id AND o.status = 'pending'
"""


def move_batches(*, batch: int, progress: Progress) -> None:
    """Does what is left of all steps."""
    for steps in STEPS:
        if len(steps) == 1:
            _move(steps[0], batch, progress, Event())
            continue
        stopped = Event()
        with ThreadPoolExecutor(len(steps)) as threads:
            moves = [threads.submit(_move_beside, step, batch, progress, stopped) for step in steps]
            try:
                for move in as_completed(moves):
                    move.result()
            finally:
                stopped.set()
    staging.run(f"ANALYZE {', '.join(TABLES)}")


def _move_beside(step: Step, batch: int, progress: Progress, stopped: Event) -> None:
    """In a thread of its own, which has a connection of its own."""
    try:
        with staging.patient_session():
            _move(step, batch, progress, stopped)
    finally:
        connection.close()


def _move(step: Step, batch: int, progress: Progress, stopped: Event) -> None:
    total = fetch_one(f"SELECT coalesce(max(place), 0) AS rows FROM {TABLES[step.table].stage}", {})["rows"]
    known = fetch_all("SELECT up_to FROM legacy_import_steps WHERE step = %(step)s", {"step": step.name})
    done = known[0]["up_to"] if known else 0
    while done < total and not stopped.is_set():
        up_to = min(done + batch, total)
        with transaction.atomic():
            staging.run(step.statement, {"after": done, "up_to": up_to})
            staging.run(
                "INSERT INTO legacy_import_steps VALUES (%(step)s, %(up_to)s)"
                " ON CONFLICT (step) DO UPDATE SET up_to = excluded.up_to",
                {"step": step.name, "up_to": up_to},
            )
        done = up_to
        progress.show(f"moving {step.name}", done, total)


def open_sale() -> dict[str, Measures]:
    """Gives events and holds what they had, if all that was kept is there, and ends the move; all of it, or nothing.

    Returns by table what was moved, in counts and sums. Raises CanNotMove.
    """
    with transaction.atomic():
        staging.run("SET LOCAL synchronous_commit = on")
        staging.run(f"LOCK TABLE {', '.join(TABLES)} IN SHARE ROW EXCLUSIVE MODE")
        staging.run(_OPEN_EVENTS)
        staging.run(_SET_DEADLINES, {"seconds": settings.RESERVATION_SECONDS})
        found = {name: _verified(name) for name in TABLES}
        staging.run("UPDATE legacy_import SET finished_at = now()")
        staging.drop(with_record=False)
        events = [event["id"] for event in fetch_all("SELECT id FROM events", {})]
        after_commit(_follow_up, events)
    return found


def _verified(name: str) -> Measures:
    """Counts and sums of what is here of a table. Raises CanNotMove unless it is what was kept, value by value."""
    table, there, here = TABLES[name], f"({kept(name)})", f"({moved(name)})"
    found = staging.measure(table, here)
    if fetch_one(digesting(table, there), {}) != fetch_one(digesting(table, here), {}):
        differs = difference(staging.measure(table, there), found)
        raise CanNotMove(
            f"{name} differs from what was read (there, here): {differs or 'values'}. Does something else write into this"
            " database? Nothing is on sale yet. Stop it, and run again with --start-over."
        )
    return found


def _follow_up(event_ids: Sequence[UUID]) -> None:
    effects.events_were_imported(event_ids=event_ids)
    update_statuses()
