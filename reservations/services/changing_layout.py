"""Changing the seat layout of an event."""

from uuid import UUID

from django.db import connection, transaction
from django.db.models.functions import Now

from events.errors import EventNotFound
from events.models import Event, SeatLayout
from events.services.layouts import Section, sections_of
from kernel.db.sql import after_commit, check_constraints_at_once, fetch_one
from kernel.tasks.enqueue import enqueue
from reservations.errors import LayoutInUse
from reservations.services.offering import offer_free_places
from reservations.services.releasing import expire_holders_of_event
from seats import services as seats
from seats.models import Seat
from seats.services import event_was_saved

MAX_SEATS_AT_ONCE = 10_000  # removed and generated. More would take longer than a second: a task does it

# Reservations that have ended keep their amounts, but not their seats.
_REMOVE = """
WITH locked AS MATERIALIZED (
    SELECT id, status FROM seats WHERE id = ANY(%(seat_ids)s::uuid[]) ORDER BY id FOR UPDATE
),
detached AS (
    UPDATE reservation_items i SET seat_id = NULL FROM locked l WHERE i.seat_id = l.id AND NOT i.is_live RETURNING 1
),
removed AS (
    DELETE FROM seats s USING locked l WHERE s.id = l.id AND l.status = 'available' RETURNING 1
)
SELECT (SELECT count(*) FROM removed) AS removed, (SELECT count(*) FROM detached) AS detached
"""


def request_layout_change(*, event_id: UUID, layout_id: UUID | None) -> bool:
    """Changes the layout now if there are few seats, otherwise by a task after the commit. Returns whether it is done.

    Raises as `change_layout`, before a task is enqueued, too. Of a task `seats.services.read_progress` tells the rest.
    """
    steps = _validate(event_id, layout_id)
    if steps <= MAX_SEATS_AT_ONCE:
        change_layout(event_id=event_id, layout_id=layout_id)
        return True
    after_commit(seats.progress_started, event_id=event_id, total=steps)
    layout = layout_id and str(layout_id)
    after_commit(enqueue, "reservations.tasks.change_layout", event_id=str(event_id), layout_id=layout)
    return False


def _validate(event_id: UUID, layout_id: UUID | None) -> int:
    """How many seats must be removed and generated."""
    event = Event.objects.filter(id=event_id).first()
    if event is None:
        raise EventNotFound
    if event.seat_layout_id == layout_id:
        return 0
    expire_holders_of_event(event_id)
    _refuse_if_in_use(event_id)
    generated = sum(section.seats for section in _sections(layout_id))
    return generated + Seat.objects.filter(event_id=event_id).count()


def change_layout_in_background(*, event_id: UUID, layout_id: UUID | None) -> None:
    """`change_layout`, with patience for whoever holds the event's row. A failure stands in its progress."""
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '60s'")
            change_layout(event_id=event_id, layout_id=layout_id)
    except BaseException as error:
        seats.progress_failed(event_id=event_id, error=error)
        raise


def change_layout(*, event_id: UUID, layout_id: UUID | None) -> None:
    """Gives an event another layout, or none, and replaces its seats, in one transaction of many statements.

    Raises EventNotFound, LayoutInUse when a seat is locked or sold, or ImpossibleLayout; nothing changes then.
    """
    with transaction.atomic():
        # NO KEY: a sale that is under way refers to its event, and we wait for the seats of that sale.
        event = Event.objects.select_for_update(of=("self",), no_key=True).filter(id=event_id).first()
        if event is None:
            raise EventNotFound
        if event.seat_layout_id == layout_id:
            return
        expire_holders_of_event(event_id)
        _refuse_if_in_use(event_id)
        sections = _sections(layout_id)
        seat_ids = list(Seat.objects.filter(event_id=event_id).order_by("id").values_list("id", flat=True))
        total = len(seat_ids) + sum(section.seats for section in sections)
        with seats.Progress(event_id, total=total) as progress:
            _remove(seat_ids, progress)
            Event.objects.filter(id=event_id).update(seat_layout=layout_id, updated_at=Now())
            seats.insert_seats(event_id=event_id, sections=sections, progress=progress)
        offer_free_places(event_id=event_id)
        after_commit(event_was_saved, event_id=event_id)


def _refuse_if_in_use(event_id: UUID) -> None:
    of_event = Seat.objects.filter(event_id=event_id)
    if of_event.exclude(status=Seat.Status.AVAILABLE).exists() or of_event.filter(items__is_live=True).exists():
        raise LayoutInUse


def _sections(layout_id: UUID | None) -> list[Section]:
    if layout_id is None:
        return []
    return sections_of(SeatLayout.objects.values_list("layout_config", flat=True).get(id=layout_id))


def _remove(seat_ids: list[UUID], progress: seats.Progress) -> None:
    """Removes the seats, locking them in the order of their ids, as buyers do. Raises LayoutInUse."""
    with check_constraints_at_once():
        for first in range(0, len(seat_ids), seats.CHUNK):
            chunk = seat_ids[first : first + seats.CHUNK]
            if fetch_one(_REMOVE, {"seat_ids": chunk})["removed"] != len(chunk):
                raise LayoutInUse  # somebody has bought one since
            progress.advance(len(chunk))
