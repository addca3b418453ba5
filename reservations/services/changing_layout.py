"""Changing the seat layout of an event."""

from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from events.errors import EventNotFound
from events.models import Event
from kernel.db.sql import after_commit
from reservations.errors import LayoutInUse
from reservations.models import ReservationItem
from reservations.services.releasing import expire_holders_of_event
from seats.models import Seat
from seats.services import event_was_saved, generate_seats


def change_layout(*, event_id: UUID, layout_id: UUID | None) -> None:
    """Gives an event another layout, or none, and replaces its seats.

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
        seats = Seat.objects.filter(event_id=event_id)
        list(seats.select_for_update().order_by("id").values_list("id"))  # `exists()` would lock none that is free
        if seats.exclude(status=Seat.Status.AVAILABLE).exists() or seats.filter(items__is_live=True).exists():
            raise LayoutInUse
        # Reservations that have ended keep their amounts, but not their seats, which are deleted.
        ReservationItem.objects.filter(seat__event_id=event_id).update(seat=None)
        seats.delete()
        Event.objects.filter(id=event_id).update(seat_layout=layout_id, updated_at=Now())
        if layout_id is not None:
            generate_seats(event_id=event_id)
        after_commit(event_was_saved, event_id=event_id)
