"""Effects of what happens to reservations. Everything here is safe to lose."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from events.services import count_stage
from kernel.wire import timestamp
from queueing import services as queueing
from reservations import metrics
from reservations.integrity import Audit
from seats import services as seats

MAX_LOGGED = 20  # rows of one check, so that the log is not flooded
logger = logging.getLogger(__name__)

# `changes`: numbers of the changes, by seat.
# `stock`: {id, available_quantity, total_quantity, change} of each ticket type whose stock has changed.


def seats_were_locked(*, event_id: UUID, changes: Mapping[UUID, int], locks: seats.SeatLocks) -> None:
    metrics.seats_reserved.labels(event_id=str(event_id)).inc(len(changes))
    seats.publish_locked(event_id=event_id, changes=changes, locks=locks)


def seats_were_swapped(
    *, event_id: UUID, released: Mapping[UUID, int], locked: Mapping[UUID, int], locks: seats.SeatLocks | None
) -> None:
    """A reservation has dropped seats, or has others instead, whose `locks` were acquired."""
    if released:
        seats.publish_released(event_id=event_id, changes=released)
    if locks is not None:
        metrics.seats_reserved.labels(event_id=str(event_id)).inc(len(locked))
        seats.publish_locked(event_id=event_id, changes=locked, locks=locks, is_new_reservation=False)


def tickets_were_reserved(
    *, event_id: UUID, stock: Sequence[dict[str, Any]], quantity: int, locks: seats.SeatLocks
) -> None:
    metrics.tickets_reserved.labels(event_id=str(event_id)).inc(quantity)
    seats.publish_stock(event_id=event_id, stock=stock, reserved=1)
    locks.release()


def reservation_was_paid(*, event_id: UUID | None, user_id: UUID, changes: Mapping[UUID, int]) -> None:
    """`changes` is empty for a reservation of tickets, `event_id` None if the event was deleted meanwhile."""
    if event_id is None:
        return
    metrics.reservations_confirmed.labels(event_id=str(event_id)).inc()
    queueing.end_admission(event_id=event_id, user_id=user_id, cause="bought")
    if changes:
        seats.publish_sold(event_id=event_id, changes=changes)
    else:
        count_stage(event_id, "paid")


def seats_were_released(*, event_id: UUID, changes: Mapping[UUID, int]) -> None:
    seats.publish_released(event_id=event_id, changes=changes)


def stock_was_changed(*, event_id: UUID, stock: Sequence[dict[str, Any]]) -> None:
    seats.publish_stock(event_id=event_id, stock=stock)


def places_were_offered(*, event_id: UUID, offers: Sequence[Mapping[str, Any]]) -> None:
    """`offers`: {reservation, seats, stock} of each, `seats` being the changes by id."""
    metrics.waitlist_offers.labels(event_id=str(event_id)).inc(len(offers))
    locked = {UUID(seat_id): change for offer in offers for seat_id, change in offer["seats"].items()}
    stock = {changed["id"]: changed for offer in offers for changed in offer["stock"]}
    if locked:
        metrics.seats_reserved.labels(event_id=str(event_id)).inc(len(locked))
        seats.publish_offered(event_id=event_id, changes=locked)
    if stock:
        tickets = sum(item["quantity"] for offer in offers for item in offer["items"] if item["ticketTypeId"])
        metrics.tickets_reserved.labels(event_id=str(event_id)).inc(tickets)
        seats.publish_stock(event_id=event_id, stock=list(stock.values()))
    queueing.publish_offers(event_id=event_id, offers=[_offer(offer["reservation"]) for offer in offers])


def _offer(reservation: Mapping[str, Any]) -> queueing.Offer:
    return queueing.Offer(
        userId=reservation["user_id"],
        reservationId=reservation["id"],
        reservationNumber=reservation["reservation_number"],
        totalAmount=reservation["total_amount"],
        expiresAt=timestamp(datetime.fromisoformat(reservation["deadline"])),
    )


def reservation_was_cancelled(*, event_id: UUID, user_id: UUID) -> None:
    queueing.end_admission(event_id=event_id, user_id=user_id, cause="cancelled")


def reservations_were_ended(*, reason: str, count: int) -> None:
    metrics.reservations_ended.labels(reason=reason).inc(count)


def audit_was_made(audit: Audit) -> None:
    """Sets the metric of each check, and logs the first rows of each."""
    for outcome in audit.outcomes:
        metrics.invariant_violations.labels(check=outcome.check).set(outcome.count)
        for row in outcome.rows[:MAX_LOGGED]:
            logger.error("%s: %s", outcome.check, row)
    if not audit.waiting_room_was_checked:
        logger.warning("the audit has not checked the waiting rooms, since Redis does not respond")
