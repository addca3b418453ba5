"""Generating the seats of an event from its layout."""

import logging
from dataclasses import asdict
from uuid import UUID

import orjson
from django.db import transaction
from django.utils.translation import gettext_noop as _

from events.errors import EventNotFound, ImpossibleLayout
from events.models import Event
from events.services.layouts import sections_of
from kernel.db.sql import after_commit, fetch_one
from seats import effects
from seats.models import Seat

logger = logging.getLogger(__name__)

_GENERATE = """
WITH section AS (
    SELECT * FROM jsonb_to_recordset(%(sections)s::jsonb)
        AS s (name text, rows int, seats_per_row int, price int, start_row int)
),
made AS (
    INSERT INTO seats (event_id, section, row_number, seat_number, seat_label, price)
    SELECT %(event_id)s, s.name, r, n, s.name || '-' || r || '-' || n, s.price
    FROM section s, generate_series(s.start_row, s.start_row + s.rows - 1) AS r, generate_series(1, s.seats_per_row) AS n
    ON CONFLICT (event_id, section, row_number, seat_number) DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM made) AS made, (SELECT sum(rows::bigint * seats_per_row)::bigint FROM section) AS wanted
"""


def generate_missing_seats() -> int:
    """Generates the seats of every event that has a layout and no seats. Returns how many.

    An impossible layout is logged, and does not stop the others.
    """
    made = 0
    for event_id in Event.objects.filter(seat_layout__isnull=False, seats=None).values_list("id", flat=True):
        try:
            made += generate_seats(event_id=event_id)
        except ImpossibleLayout as error:
            logger.warning("event %s: %s", event_id, error.message)
    return made


def generate_seats(*, event_id: UUID) -> int:
    """Generates the seats of the event's layout that do not exist yet, in one statement. Returns how many.

    A second call generates none. Raises EventNotFound; ImpossibleLayout when the event has no layout, an invalid one, or
    seats of another layout.
    """
    with transaction.atomic():
        events = Event.objects.select_for_update(of=("self",), no_key=True)  # NO KEY: sales go on meanwhile
        event = events.select_related("seat_layout").filter(id=event_id).first()
        if event is None:
            raise EventNotFound
        if event.seat_layout is None:
            raise ImpossibleLayout(_("The event has no seat layout."))
        sections = [asdict(section) for section in sections_of(event.seat_layout.layout_config)]
        counted = fetch_one(_GENERATE, {"event_id": event_id, "sections": orjson.dumps(sections).decode()})
        existing = Seat.objects.filter(event_id=event_id).count()
        if existing != counted["wanted"]:
            raise ImpossibleLayout(
                _("The event has %(there)s seats already, not all of which are in its layout."),
                there=existing - counted["made"],
            )
        if counted["made"]:
            after_commit(effects.seats_were_generated, event_id=event_id)
    made: int = counted["made"]
    return made
