"""Reserving seats: they are locked for a buyer who has some minutes to pay."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError

from events.errors import EventNotFound, NotOnSale
from events.models import Event
from events.selectors import IS_ON_SALE
from kernel.db.sql import after_commit, violated_constraint
from kernel.errors import DomainError
from outbox import sql as outbox
from outbox.models import MessageKind
from queueing.services import Visitor
from reservations import effects, idempotency
from reservations.errors import AmountTooLarge
from reservations.idempotency import IdempotentRequest, RespondedBefore
from reservations.models import MAX_AMOUNT
from reservations.services import buyer_limits, offering
from reservations.services.numbering import new_reservation_number
from reservations.services.releasing import expire_holders
from seats import services as seats
from seats.errors import OrphanSeats, SeatNotFound, SeatTaken, TooManySeats
from seats.models import Seat


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservedSeats:
    """A reservation of seats, to be paid before `expires_at`.

    `seats` are {id, seat_label, price}, in the order of the request.
    `changes` are numbers of the changes, by seat; empty if the reservation was made by an earlier request.
    """

    reservation_id: UUID
    number: str
    total_amount: int
    expires_at: datetime
    seats: list[dict[str, Any]]
    changes: Mapping[UUID, int]


_CREATED = outbox.record(
    "reservation r",
    kinds=outbox.kinds(MessageKind.RESERVATION_CREATED),
    subject="r.id",
    event="r.event_id",
    data=outbox.reservation_data(
        "r",
        items="""(SELECT jsonb_agg(jsonb_build_object(
            'seatId', p.id, 'ticketTypeId', NULL, 'quantity', 1, 'unitPrice', p.price)) FROM picked p)""",
    ),
)


# Of an event `e`, for the CTE `event`.
MAX_SEATS = "coalesce(e.max_seats_per_reservation, %(max_seats)s) AS max_seats"


def reserving(*, seat_ids: str, quantity: str, choosing: str = "", more: str) -> str:
    """The statement that reserves `quantity` seats. `seat_ids` is the SQL of their ids, `more` are further columns.

    Without `choosing`, CTEs that `seat_ids` is made of, the buyer has chosen, and may not leave an orphan where the event
    forbids it.
    """
    # One round trip. `picked` locks the seats in id order, so that two buyers who want the same seats in different orders
    # cannot deadlock. After a wait it sees the seats as they are then. `IS NOT DISTINCT FROM` is a condition that no index
    # serves: in a new database, without statistics, PostgreSQL would read all seats of the event to find one.
    acceptable = f"""e.is_on_sale AND {quantity} <= e.max_seats AND v.all_found AND v.all_available
      AND v.total <= {MAX_AMOUNT} AND NOT EXISTS (SELECT FROM earlier)"""
    # The client has the order of its own choice.
    order = f" ORDER BY array_position({seat_ids}, p.id)" if choosing else ""
    orphans = "NULL::jsonb" if choosing else f"orphans_left(%(event_id)s, {seat_ids}, '{{}}'::uuid[])"
    return f"""
WITH {idempotency.EARLIER},
event AS MATERIALIZED (
    SELECT {IS_ON_SALE} AS is_on_sale, {MAX_SEATS},
           {buyer_limits.MAX_TICKETS}, e.forbids_orphan_seats, {offering.EVENT_COLUMN}
    FROM events e WHERE e.id = %(event_id)s
),
{choosing}
picked AS MATERIALIZED (
    SELECT s.id, s.seat_label, s.price, s.status FROM seats s
    WHERE s.id = ANY({seat_ids}) AND s.event_id IS NOT DISTINCT FROM %(event_id)s
    ORDER BY s.id FOR UPDATE
),
verdict AS MATERIALIZED (
    SELECT count(*) = {quantity} AS all_found, bool_and(status = 'available') AS all_available,
           least(sum(price), {MAX_AMOUNT + 1})::bigint AS total, count(*) AS quantity
    FROM picked
),
refused AS MATERIALIZED (
    SELECT orphans FROM (
        SELECT {orphans} AS orphans FROM verdict v, event e WHERE e.forbids_orphan_seats AND {acceptable}
    ) judged
    WHERE orphans IS NOT NULL
),
{
        offering.asked_for(
            seats="ARRAY(SELECT id FROM picked WHERE status = 'available')",
            condition="event e WHERE e.has_waitlist AND e.is_on_sale AND NOT EXISTS (SELECT FROM earlier)"
            " AND EXISTS (SELECT FROM picked WHERE status = 'available')",
        )
    },
{
        buyer_limits.buyer(
            seat_ids=seat_ids,
            condition=f"{acceptable} AND NOT EXISTS (SELECT FROM refused) AND {offering.NONE_OFFERED}",
        )
    },
reservation AS (
    INSERT INTO reservations (user_id, event_id, reservation_number, total_amount, expires_at)
    SELECT %(user_id)s, %(event_id)s, %(number)s, v.total, now() + make_interval(secs => %(seconds)s)
    FROM verdict v, buyer b WHERE {buyer_limits.MAY_BUY}
    RETURNING *
),
items AS (
    INSERT INTO reservation_items (reservation_id, seat_id, quantity, unit_price, subtotal, is_live)
    SELECT r.id, p.id, 1, p.price, p.price, true FROM reservation r, picked p
),
locked AS (
    UPDATE seats s SET status = 'locked', updated_at = now() FROM reservation r, picked p WHERE s.id = p.id
    RETURNING s.id, nextval('change_number') AS change
),
{
        idempotency.recorded(f'''jsonb_build_object(
        'number', %(number)s::text, 'total', v.total, 'expires_at', r.expires_at, 'seats', (
            SELECT jsonb_agg(jsonb_build_object('id', p.id, 'seat_label', p.seat_label, 'price', p.price){order})
            FROM picked p
        )
    )''')
    },
{_CREATED}
SELECT e.is_on_sale, e.max_seats, v.all_found, v.all_available, v.total, r.id AS reservation_id, r.expires_at,
       (SELECT jsonb_agg(to_jsonb(p){order}) FROM picked p) AS seats,
       (SELECT jsonb_object_agg(id, change) FROM locked) AS changes,
       {idempotency.EARLIER_RECORD}, {buyer_limits.RECORD}, (SELECT orphans FROM refused) AS orphans, {offering.OFFERS},
       {more}
FROM verdict v LEFT JOIN event e ON true LEFT JOIN reservation r ON true
"""


_RESERVE = reserving(
    seat_ids="%(seat_ids)s::uuid[]",
    quantity="cardinality(%(seat_ids)s::uuid[])",
    more="""CASE WHEN NOT v.all_available THEN (
           SELECT extract(epoch FROM min((
               SELECT h.deadline FROM reservations h WHERE h.id = i.reservation_id AND h.status = 'pending'
           )) - now())::float8
           FROM reservation_items i WHERE i.seat_id = ANY(%(seat_ids)s::uuid[]) AND i.is_live
       ) END AS next_hold_ends_in""",
)


def check_seat_limit(*, event_id: UUID, count: int, request: IdempotentRequest | None = None) -> None:
    """Raises TooManySeats. An event's own lower limit is left to the statement that reserves.

    A round trip only for more seats than most events allow. With a `request` that has got a response before, the limit of
    today does not count; raises RejectedBefore, IdempotencyKeyReused.
    """
    # Before anything else, as the wire contract says.
    if count <= settings.MAX_SEATS_PER_RESERVATION:
        return
    own = Event.objects.filter(id=event_id).values_list("max_seats_per_reservation", flat=True).first()
    limit = own or settings.MAX_SEATS_PER_RESERVATION
    if count > limit:
        idempotency.earlier_response(request, TooManySeats(most=limit))


def reserve_seats(
    *, buyer: Visitor, event_id: UUID, seat_ids: Sequence[UUID], request: IdempotentRequest | None = None
) -> ReservedSeats:
    """Reserves all of the seats for RESERVATION_SECONDS, or none.

    Raises TooManySeats, EventNotFound, NotOnSale, SeatNotFound, SeatTaken, OrphanSeats, AmountTooLarge, TicketLimitReached,
    SeatRecentlyReleased, UnpaidTimeUsedUp, UserNotFound, and what
    `seats.services.acquire_locks` raises; with a `request` also RequestInProgress, RejectedBefore, IdempotencyKeyReused.
    """
    seat_ids = list(dict.fromkeys(seat_ids))  # a seat that is named twice is one seat
    try:
        return _reserve(buyer=buyer, event_id=event_id, seat_ids=seat_ids, request=request)
    except (DomainError, RespondedBefore) as outcome:
        return reserved_before(idempotency.earlier_response(request, outcome), seat_ids)


def _reserve(
    *, buyer: Visitor, event_id: UUID, seat_ids: Sequence[UUID], request: IdempotentRequest | None
) -> ReservedSeats:
    request_locks = idempotency.request_locks(request, event_id=event_id)
    locks = seats.acquire_locks(event_id=event_id, buyer=buyer, seat_ids=seat_ids, also=request_locks)
    with locks.released_on_failure():
        reserved = _insert(user_id=buyer.user_id, event_id=event_id, seat_ids=seat_ids, request=request)
    after_commit(effects.seats_were_locked, event_id=event_id, changes=reserved.changes, locks=locks)
    return reserved


def _insert(
    *, user_id: UUID, event_id: UUID, seat_ids: Sequence[UUID], request: IdempotentRequest | None
) -> ReservedSeats:
    """One statement; two more when a hold past its deadline is in the way, one more when others wait for the seats."""
    number = new_reservation_number()
    parameters = {
        "user_id": user_id,
        "event_id": event_id,
        "seat_ids": list(seat_ids),
        "max_seats": settings.MAX_SEATS_PER_RESERVATION,
        "seconds": settings.RESERVATION_SECONDS,
        "number": number,
        **buyer_limits.parameters(),
        **offering.parameters(),
    }
    fetch = partial(_fetch, parameters, request)
    row = offering.fetch_unoffered(fetch)
    is_behind_hold = row["next_hold_ends_in"] is not None and row["next_hold_ends_in"] <= 0
    if is_behind_hold or buyer_limits.is_behind_own_hold(row["buyer"]):
        expire_holders(seat_ids=seat_ids, user_id=user_id, event_id=event_id)
        row = offering.fetch_unoffered(fetch)
    if row["reservation_id"] is None:
        by_id = {UUID(seat["id"]): seat for seat in row["seats"] or ()}
        raise _rejection(row, [by_id[seat_id] for seat_id in seat_ids if seat_id in by_id])
    return reserved(row, seat_ids, number=number)


def reserved(row: Mapping[str, Any], seat_ids: Sequence[UUID] = (), *, number: str) -> ReservedSeats:
    """What the statement has reserved; in the order of `seat_ids`, if there is one."""
    by_id = {UUID(seat["id"]): seat for seat in row["seats"]}
    return ReservedSeats(
        reservation_id=row["reservation_id"],
        number=number,
        total_amount=row["total"],
        expires_at=row["expires_at"],
        seats=[by_id[seat_id] for seat_id in seat_ids or by_id],
        changes={seat_id: row["changes"][str(seat_id)] for seat_id in by_id},
    )


def _fetch(parameters: dict[str, Any], request: IdempotentRequest | None) -> dict[str, Any]:
    try:
        return idempotency.fetch_reserved(_RESERVE, parameters, request)
    except IntegrityError as error:
        if violated_constraint(error) != "seat_in_one_live_reservation":
            raise
        # A seat whose status says available, in a live reservation.
        labels = Seat.objects.filter(id__in=parameters["seat_ids"], items__is_live=True)
        raise SeatTaken(label=labels.values_list("seat_label", flat=True)[0]) from error


def why_not_for_sale(row: Mapping[str, Any], *, count: int) -> DomainError | None:
    """Why so many seats of the event are not sold at once, whichever they are; None if they are."""
    if row["is_on_sale"] is None:
        return EventNotFound()
    if not row["is_on_sale"]:
        return NotOnSale()
    return TooManySeats(most=row["max_seats"]) if count > row["max_seats"] else None


def _rejection(row: dict[str, Any], found: Sequence[dict[str, Any]]) -> DomainError:
    """Why no reservation was made: the first reason in the wire contract's order."""
    if rejection := why_not_for_sale(row, count=len(found)):
        return rejection
    if not row["all_found"]:
        return SeatNotFound()
    labels = {UUID(seat["id"]): seat["seat_label"] for seat in found if seat["status"] != Seat.Status.AVAILABLE}
    if labels:
        ends_in = row["next_hold_ends_in"]
        lasts = math.inf if ends_in is None else ends_in
        return SeatTaken(label=next(iter(labels.values())), unavailable=labels, unavailable_seconds=lasts)
    if row["orphans"] is not None:
        return OrphanSeats(**row["orphans"])
    all_labels = {UUID(seat["id"]): seat["seat_label"] for seat in found}
    return buyer_limits.rejection(row, quantity=len(found), labels=all_labels) or AmountTooLarge()


def reserved_before(response: Mapping[str, Any], seat_ids: Sequence[UUID] = ()) -> ReservedSeats:
    """The same of an earlier request, from what it has recorded."""
    by_id = {UUID(seat["id"]): seat for seat in response["seats"]}
    return ReservedSeats(
        reservation_id=response["reservation_id"],
        number=response["number"],
        total_amount=response["total"],
        expires_at=datetime.fromisoformat(response["expires_at"]),
        seats=[by_id[seat_id] for seat_id in seat_ids or by_id],
        changes={},
    )
