"""What follows when something happened to seats and reservations. Everything here is safe to lose."""

from collections.abc import Sequence
from uuid import UUID

from events.selectors import forget_event
from seats import metrics
from seats.locks import Hold, seat_map_changed


def seats_were_locked(*, event_id: UUID, seat_ids: Sequence[UUID], hold: Hold) -> None:
    hold.let_go(changed=True)
    metrics.seats_reserved.labels(event_id=str(event_id)).inc(len(seat_ids))


def tickets_were_taken(*, event_id: UUID, quantity: int, hold: Hold) -> None:
    forget_event(event_id)
    hold.let_go(changed=False)
    metrics.tickets_reserved.labels(event_id=str(event_id)).inc(quantity)


def seats_were_sold(*, event_id: UUID | None, seat_ids: Sequence[UUID]) -> None:
    if event_id is None:
        return
    if seat_ids:
        seat_map_changed(event_id)
    metrics.reservations_confirmed.labels(event_id=str(event_id)).inc()


def places_were_given_back(*, event_id: UUID, seat_ids: Sequence[UUID], ticket_type_ids: Sequence[UUID]) -> None:
    if seat_ids:
        seat_map_changed(event_id)
    if ticket_type_ids:
        forget_event(event_id)


def reservations_were_ended(*, reason: str, count: int) -> None:
    metrics.reservations_ended.labels(reason=reason).inc(count)


def seats_were_generated(*, event_id: UUID) -> None:
    seat_map_changed(event_id)
