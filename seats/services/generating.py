"""Generating the seats of an event from its layout, and removing them."""

from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

import orjson
from django.db import connection, transaction
from django.utils.translation import gettext_noop as _

from events.errors import EventNotFound, ImpossibleLayout
from events.models import Event
from events.services.layouts import Section, sections_of
from kernel.db.sql import after_commit, check_constraints_at_once, fetch_one
from kernel.tasks.batches import Batch
from seats import effects
from seats.models import Seat
from seats.progress import Progress
from seats.services.placing import (
    COLUMNS,
    PLACE,
    RANGES,
    SeatRange,
    encode_ranges,
    events_with_unplaced_seats,
    place_seats,
    ranges_of,
)

CHUNK = 10_000  # seats of one statement, so that it ends long before its time limit, whatever the size of the layout
ANALYZED = 1_000  # seats that are worth the half second that it takes

_GENERATE = f"""
WITH made AS (
    INSERT INTO seats (event_id, section, row_number, seat_number, seat_label, price, {COLUMNS})
    SELECT %(event_id)s, b.section, r, n, b.section || '-' || r || '-' || n, b.price, {PLACE}
    FROM {RANGES}, generate_series(b.first_row, b.last_row) AS r, generate_series(b.first_seat, b.last_seat) AS n
    ON CONFLICT (event_id, section, row_number, seat_number) DO NOTHING
    RETURNING 1
)
SELECT count(*) AS made FROM made
"""

_COUNT = """
WITH wanted AS (
    SELECT name, row_number, seats_per_row
    FROM jsonb_to_recordset(%(sections)s::jsonb) AS s (name text, rows int, seats_per_row int, start_row int),
        generate_series(start_row, start_row + rows - 1) AS row_number
)
SELECT count(*) AS existing, count(wanted.name) AS wanted
FROM seats LEFT JOIN wanted
    ON wanted.name = seats.section AND wanted.row_number = seats.row_number
    AND seats.seat_number BETWEEN 1 AND wanted.seats_per_row
WHERE seats.event_id = %(event_id)s
"""

_batch: Batch[UUID] = Batch("generate_missing_seats")


def generate_missing_seats() -> int:
    """Generates the seats of every event that has a layout and no seats. Returns how many. Places those of others' making.

    An event whose seats cannot be generated is logged, and does not stop the others.
    """
    lacking = Event.objects.filter(seat_layout__isnull=False, seats=None).values_list("id", flat=True)
    made = _batch.run(list(lacking), lambda event_id: generate_seats(event_id=event_id))
    _batch.run(events_with_unplaced_seats(), lambda event_id: place_seats(event_id=event_id))
    return made


def generate_seats(*, event_id: UUID) -> int:
    """Generates the seats of the event's layout that do not exist yet, in one transaction. Returns how many.

    A second call generates none. Seats that exist and have not been placed are placed. Raises EventNotFound;
    ImpossibleLayout when the event has no layout, an invalid one, or seats of another layout.
    """
    # Every save of an event asks for its seats. Where none is missing, the event's row stays free: the organiser's next
    # save would wait for it, and the update of its status pass it over.
    made = 0 if _is_complete(event_id) else _generate(event_id)
    place_seats(event_id=event_id)
    return made


def _generate(event_id: UUID) -> int:
    with transaction.atomic():
        events = Event.objects.select_for_update(of=("self",), no_key=True)  # NO KEY: sales go on meanwhile
        event = events.select_related("seat_layout").filter(id=event_id).first()
        if event is None:
            raise EventNotFound
        if event.seat_layout is None:
            raise ImpossibleLayout(_("The event has no seat layout."))
        sections = sections_of(event.seat_layout.layout_config)
        wanted = sum(section.seats for section in sections)
        with Progress(event_id, total=wanted) as progress:
            made = insert_seats(event_id=event_id, sections=sections, progress=progress)
        existing = Seat.objects.filter(event_id=event_id).count()
        if existing != wanted:
            raise ImpossibleLayout(
                _("The event has %(there)s seats already, not all of which are in its layout."), there=existing - made
            )
        if made:
            after_commit(effects.seats_were_generated, event_id=event_id)
    return made


def _is_complete(event_id: UUID) -> bool:
    """Whether the event has the seats of its layout, and no others."""
    event = Event.objects.select_related("seat_layout").filter(id=event_id, seat_layout__isnull=False).first()
    if event is None or event.seat_layout is None:
        return False
    sections = sections_of(event.seat_layout.layout_config)
    seats = sum(section.seats for section in sections)
    parameters = {"event_id": event_id, "sections": orjson.dumps(sections).decode()}
    return fetch_one(_COUNT, parameters) == {"existing": seats, "wanted": seats}


def _analyze() -> None:
    """Before a sale opens PostgreSQL should know its seats. It would count them by itself, within a minute or two."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE seats")


def insert_seats(*, event_id: UUID, sections: Sequence[Section], progress: Progress) -> int:
    """Inserts the seats of these sections that do not exist yet. Returns how many. Inside the caller's transaction."""
    made = 0
    with check_constraints_at_once():
        for ranges in _chunks(ranges_of(sections, most=CHUNK)):
            made += fetch_one(_GENERATE, {"event_id": event_id, "ranges": encode_ranges(ranges)})["made"]
            progress.advance(sum(one.seats for one in ranges))
    if made >= ANALYZED:
        after_commit(_analyze)
    return made


# --- Chunks -----------------------------------------------------------------------------------------------------------


def _chunks(ranges: Iterable[SeatRange]) -> Iterator[list[SeatRange]]:
    """Ranges of at most CHUNK seats together."""
    chunk: list[SeatRange] = []
    seats = 0
    for one in ranges:
        if chunk and seats + one.seats > CHUNK:
            yield chunk
            chunk, seats = [], 0
        chunk.append(one)
        seats += one.seats
    if chunk:
        yield chunk
