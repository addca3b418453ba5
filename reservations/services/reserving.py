"""Locking seats for a buyer who has some minutes to pay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError

from events.errors import EventNotFound, NotOnSale
from events.models import Event
from events.selectors import IS_ON_SALE
from kernel.db.sql import after_commit, fetch_one, violated_constraint
from kernel.http.auth import UserNotFound
from queueing.services import Visitor
from reservations import effects, idempotency
from reservations.errors import AmountTooLarge
from reservations.idempotency import AnsweredBefore
from reservations.models import Reservation, ReservationItem
from reservations.services.numbering import new_reservation_number
from reservations.services.releasing import expire_holders
from seats.errors import SeatNotFound, SeatTaken, TooManySeats
from seats.models import Seat
from seats.services import locking as locks

MAX_AMOUNT = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatSale:
    """Seats that a buyer holds until `expires_at`. `seats` are {id, seat_label, price}, in the order asked for.

    `changes` are the numbers of the changes of the seats; empty if the sale was made before.
    """

    reservation_id: UUID
    number: str
    total_amount: int
    expires_at: datetime
    seats: list[dict[str, Any]]
    changes: Mapping[UUID, int]


# Everything in one round trip. `picked` locks the seats in id order, which is why two buyers who want the same seats in
# different orders can not block each other; after a wait it sees the seats as they are then.
_RESERVE = f"""
WITH {idempotency.EARLIER},
event AS MATERIALIZED (
    SELECT {IS_ON_SALE} AS is_on_sale, coalesce(e.max_seats_per_reservation, %(most_seats)s) AS most_seats
    FROM events e WHERE e.id = %(event_id)s
),
picked AS MATERIALIZED (
    SELECT s.id, s.seat_label, s.price, s.status FROM seats s
    WHERE s.id = ANY(%(seat_ids)s::uuid[]) AND s.event_id = %(event_id)s
    ORDER BY s.id FOR UPDATE
),
verdict AS MATERIALIZED (
    SELECT count(*) = cardinality(%(seat_ids)s::uuid[]) AS all_found, bool_and(status = 'available') AS all_available,
           least(sum(price), {MAX_AMOUNT + 1})::bigint AS total
    FROM picked
),
reservation AS (
    INSERT INTO reservations (user_id, event_id, reservation_number, total_amount, expires_at)
    SELECT %(user_id)s, %(event_id)s, %(number)s, v.total, now() + make_interval(secs => %(seconds)s)
    FROM verdict v, event e
    WHERE e.is_on_sale AND cardinality(%(seat_ids)s::uuid[]) <= e.most_seats AND v.all_found AND v.all_available
      AND v.total <= {MAX_AMOUNT} AND NOT EXISTS (SELECT FROM earlier)
    RETURNING id, expires_at
),
items AS (
    INSERT INTO reservation_items (reservation_id, seat_id, quantity, unit_price, subtotal, is_live)
    SELECT r.id, p.id, 1, p.price, p.price, true FROM reservation r, picked p
),
locked AS (
    UPDATE seats s SET status = 'locked', updated_at = now() FROM reservation r, picked p WHERE s.id = p.id
    RETURNING s.id, nextval('change_number') AS change
),
{idempotency.REMEMBERED}
SELECT e.is_on_sale, e.most_seats, v.all_found, v.all_available, v.total, r.id AS reservation_id, r.expires_at,
       (SELECT jsonb_agg(to_jsonb(p)) FROM picked p) AS seats, (SELECT jsonb_object_agg(id, change) FROM locked) AS changes,
       {idempotency.EARLIER_RECORD},
       CASE WHEN NOT v.all_available THEN (
           SELECT extract(epoch FROM min(h.deadline) - now())::float8
           FROM reservation_items i JOIN reservations h ON h.id = i.reservation_id
           WHERE i.seat_id = ANY(%(seat_ids)s::uuid[]) AND i.is_live AND h.status = 'pending'
       ) END AS next_hold_ends_in
FROM verdict v LEFT JOIN event e ON true LEFT JOIN reservation r ON true
"""


def reserve_seats(
    *, buyer: Visitor, event_id: UUID, seat_ids: Sequence[UUID], request: idempotency.Request | None = None
) -> SeatSale:
    """Locks the seats for RESERVATION_SECONDS. All of them, or none.

    Raises TooManySeats, EventNotFound, NotOnSale, SeatNotFound, SeatBeingChosen, SeatTaken, AmountTooLarge, UserNotFound,
    and what `acquire_locks` raises; with a `request`, also what `idempotency.once` raises.
    """

    def sell() -> SeatSale:
        held = locks.acquire_locks(
            event_id=event_id, buyer=buyer, seat_ids=seat_ids, request=request.name if request else None
        )
        try:
            sale = _reserve(user_id=buyer.user_id, event_id=event_id, seat_ids=seat_ids, request=request)
        except TakenByOthers as refusal:
            held.let_go(refusal.taken, refusal.for_ms)
            raise
        except BaseException:
            held.let_go()
            raise
        after_commit(effects.seats_were_locked, event_id=event_id, changes=sale.changes, locks=held)
        return sale

    seat_ids = list(dict.fromkeys(seat_ids))  # a seat that is named twice is one seat
    return idempotency.once(request, sell=sell, load=lambda reservation_id: _seat_sale(reservation_id, seat_ids))


class TakenByOthers(SeatTaken):
    """`taken`: seats by id, with their labels, that others have and that nobody can take over for `for_ms`."""

    def __init__(self, taken: Mapping[UUID, str], for_ms: int) -> None:
        self.taken, self.for_ms = taken, for_ms
        super().__init__(label=next(iter(taken.values())))


def check_seat_limit(*, event_id: UUID, count: int) -> None:
    """Raises TooManySeats. Before anything else, as the wire contract says; an event's lower limit is found later.

    Costs a round trip only when more seats are asked for than most events allow.
    """
    if count <= settings.MAX_SEATS_PER_RESERVATION:
        return
    own = Event.objects.filter(id=event_id).values_list("max_seats_per_reservation", flat=True).first()
    most = own or settings.MAX_SEATS_PER_RESERVATION
    if count > most:
        raise TooManySeats(most=most)


def _reserve(
    *, user_id: UUID, event_id: UUID, seat_ids: Sequence[UUID], request: idempotency.Request | None
) -> SeatSale:
    """One statement; two more when a hold that is past its time is in the way."""
    number = new_reservation_number()
    parameters = {
        "user_id": user_id,
        "event_id": event_id,
        "seat_ids": list(seat_ids),
        "most_seats": settings.MAX_SEATS_PER_RESERVATION,
        "seconds": settings.RESERVATION_SECONDS,
        "number": number,
        **idempotency.parameters(request),
    }
    found = _run(parameters)
    if found["next_hold_ends_in"] is not None and found["next_hold_ends_in"] <= 0:
        expire_holders(seat_ids=seat_ids)
        found = _run(parameters)
    by_id = {UUID(seat["id"]): seat for seat in found["seats"] or ()}
    if found["reservation_id"] is None:
        _refuse(found, [by_id[seat_id] for seat_id in seat_ids if seat_id in by_id])
    return SeatSale(
        reservation_id=found["reservation_id"],
        number=number,
        total_amount=found["total"],
        expires_at=found["expires_at"],
        seats=[by_id[seat_id] for seat_id in seat_ids],
        changes={seat_id: found["changes"][str(seat_id)] for seat_id in seat_ids},
    )


def _run(parameters: dict[str, Any]) -> dict[str, Any]:
    try:
        found = fetch_one(_RESERVE, parameters)
    except IntegrityError as error:
        match violated_constraint(error):
            case "seat_in_one_live_reservation":  # a seat that says it is free and belongs to somebody
                labels = Seat.objects.filter(id__in=parameters["seat_ids"], items__is_live=True)
                raise SeatTaken(label=labels.values_list("seat_label", flat=True)[0]) from error
            case "reservation_user":
                raise UserNotFound from error
        raise
    if found["earlier"] is not None:
        raise AnsweredBefore(found["earlier"])
    return found


def _refuse(found: dict[str, Any], seats: Sequence[dict[str, Any]]) -> None:
    """Says why no reservation was made, the first reason in the wire contract's order."""
    if found["is_on_sale"] is None:
        raise EventNotFound
    if not found["is_on_sale"]:
        raise NotOnSale
    if len(seats) > found["most_seats"]:
        raise TooManySeats(most=found["most_seats"])
    if not found["all_found"]:
        raise SeatNotFound
    if taken := {UUID(seat["id"]): seat["seat_label"] for seat in seats if seat["status"] != Seat.Status.AVAILABLE}:
        ends_in = found["next_hold_ends_in"]
        raise TakenByOthers(
            taken, locks.REJECTED_MS if ends_in is None else min(locks.REJECTED_MS, int(ends_in * 1000))
        )
    raise AmountTooLarge


def _seat_sale(reservation_id: UUID, seat_ids: Sequence[UUID]) -> SeatSale:
    """The sale as it was answered when it was made."""
    made = Reservation.objects.get(id=reservation_id)
    items = ReservationItem.objects.filter(reservation_id=reservation_id).select_related("seat")
    by_id = {item.seat.id: (item.seat.seat_label, item.unit_price) for item in items if item.seat}
    if made.expires_at is None:
        raise AssertionError(f"{reservation_id} is no reservation of seats")
    return SeatSale(
        reservation_id=reservation_id,
        number=made.reservation_number,
        total_amount=made.total_amount,
        expires_at=made.expires_at,
        seats=[{"id": seat_id, "seat_label": by_id[seat_id][0], "price": by_id[seat_id][1]} for seat_id in seat_ids],
        changes={},
    )
