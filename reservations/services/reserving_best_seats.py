"""Reserving the best available seats: PostgreSQL chooses them in the statement that reserves them."""

from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings

from kernel.db.sql import after_commit
from kernel.errors import DomainError
from queueing.services import Visitor
from reservations import effects, idempotency
from reservations.errors import AmountTooLarge
from reservations.idempotency import IdempotentRequest, RespondedBefore
from reservations.services import buyer_limits, offering
from reservations.services.numbering import new_reservation_number
from reservations.services.releasing import expire_holders, expire_holders_of_event
from reservations.services.reserving_seats import (
    ReservedSeats,
    reserved,
    reserved_before,
    reserving,
    why_not_for_sale,
)
from seats import services as seats
from seats.errors import NoSeatsTogether, SectionNotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What seats a buyer wants. `max_price` is that of one seat, in won; accessible seats are only for those who ask."""

    quantity: int
    section: str | None = None
    max_price: int | None = None
    is_accessible: bool = False


# `choose_best_seats` (migration 0008) locks the seats, too. An output of the SELECT, it is called only if the rest is true.
_RESERVE_BEST = reserving(
    seat_ids="(SELECT seat_ids FROM chosen)::uuid[]",
    quantity="%(quantity)s",
    choosing="""chosen AS MATERIALIZED (
    SELECT choose_best_seats(
        %(user_id)s, %(event_id)s, %(quantity)s, %(section)s::text, %(max_price)s::int, %(is_accessible)s,
        %(relock_seconds)s::float8
    ) AS seat_ids
    FROM event e WHERE e.is_on_sale AND %(quantity)s <= e.max_seats AND NOT EXISTS (SELECT FROM earlier)
),""",
    more="""CASE WHEN e.is_on_sale AND NOT v.all_found THEN EXISTS (
           SELECT FROM reservations h WHERE h.event_id = %(event_id)s AND h.status = 'pending' AND h.deadline <= now()
       ) END AS has_overdue_holds,
       CASE WHEN NOT v.all_found AND %(section)s::text IS NOT NULL THEN EXISTS (
           SELECT FROM seats s WHERE s.event_id = %(event_id)s AND s.section = %(section)s::text
       ) END AS section_exists""",
)


def reserve_best_seats(
    *, buyer: Visitor, event_id: UUID, wish: Wish, request: IdempotentRequest | None = None
) -> ReservedSeats:
    """Reserves the best seats that are available, for RESERVATION_SECONDS, or none.

    Neighbours in one row, if any row has room; otherwise in two, rather behind one another. Of these the seats that leave
    the fewest others alone, and of these the ones nearest to the middle of the stage. Raises what `reserve_seats` raises,
    but SectionNotFound and NoSeatsTogether instead of what concerns seats that a buyer has chosen.
    """
    try:
        request_locks = idempotency.request_locks(request, event_id=event_id)
        locks = seats.acquire_locks(event_id=event_id, buyer=buyer, also=request_locks)
        with locks.released_on_failure():
            found = _insert(user_id=buyer.user_id, event_id=event_id, wish=wish, request=request)
        after_commit(effects.seats_were_locked, event_id=event_id, changes=found.changes, locks=locks)
    except (DomainError, RespondedBefore) as outcome:
        return reserved_before(idempotency.earlier_response(request, outcome))
    return found


def _insert(*, user_id: UUID, event_id: UUID, wish: Wish, request: IdempotentRequest | None) -> ReservedSeats:
    """One statement; two more when nothing is left but what overdue holds have, one more when others wait for the seats."""
    number = new_reservation_number()
    parameters = {
        "user_id": user_id,
        "event_id": event_id,
        "quantity": wish.quantity,
        "section": wish.section,
        "max_price": wish.max_price,
        "is_accessible": wish.is_accessible,
        "max_seats": settings.MAX_SEATS_PER_RESERVATION,
        "seconds": settings.RESERVATION_SECONDS,
        "number": number,
        **buyer_limits.parameters(),
        **offering.parameters(),
    }
    fetch = partial(idempotency.fetch_reserved, _RESERVE_BEST, parameters, request)
    row = offering.fetch_unoffered(fetch)
    if _may_find_more(row, user_id=user_id, event_id=event_id):
        row = offering.fetch_unoffered(fetch)
    if row["reservation_id"] is None:
        raise _rejection(row, wish)
    return reserved(row, number=number)


def _may_find_more(row: dict[str, Any], *, user_id: UUID, event_id: UUID) -> bool:
    """Whether nothing was reserved, but something may be now. Ends holds past their deadline that are in the way."""
    if buyer_limits.is_behind_own_hold(row["buyer"]):
        expire_holders(user_id=user_id, event_id=event_id)
        return True
    if row["has_overdue_holds"]:
        expire_holders_of_event(event_id)
        return True
    # The buyer has let go of a seat since the seats were chosen.
    return row["buyer"] is not None and row["buyer"]["closed_seat"] is not None


def _rejection(row: dict[str, Any], wish: Wish) -> DomainError:
    """Why no reservation was made: the first reason in the order of `reserve_seats`."""
    if rejection := why_not_for_sale(row, count=wish.quantity):
        return rejection
    if not row["all_found"] or not row["all_available"]:
        return SectionNotFound() if row["section_exists"] is False else NoSeatsTogether()
    labels = {UUID(seat["id"]): seat["seat_label"] for seat in row["seats"]}
    return buyer_limits.rejection(row, quantity=wish.quantity, labels=labels) or AmountTooLarge()
