"""Reserving tickets: they are taken from stock for a buyer who has some minutes to pay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings

from events.errors import EventNotFound, NotOnSale
from events.selectors import IS_ON_SALE
from kernel.db.sql import after_commit
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
from tickets.errors import NoSuchTicket, NotEnoughTickets, QuantityTooSmall

MAX_QUANTITY = 2**31 - 1  # of one ticket type: more than any stock, so that a larger quantity is rejected just as well


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservedTickets:
    """A reservation of tickets. `stock` is {id, available_quantity, total_quantity, change} of each ticket type.

    `stock` is empty if the reservation was made by an earlier request.
    """

    reservation_id: UUID
    number: str
    total_amount: int
    stock: list[dict[str, Any]]


_CREATED = outbox.record(
    "reservation r",
    kinds=outbox.kinds(MessageKind.RESERVATION_CREATED),
    subject="r.id",
    event="r.event_id",
    data=outbox.reservation_data(
        "r",
        items="""(SELECT jsonb_agg(jsonb_build_object(
            'seatId', NULL, 'ticketTypeId', p.id, 'quantity', p.quantity, 'unitPrice', p.price)) FROM picked p)""",
    ),
)

# One round trip, as in `reserving_seats`: `picked` locks the ticket types in id order, and sees their stock after any wait.
# `stock` computes from `picked`, never from `t`: PostgreSQL checks constraints on the row of the statement's snapshot first,
# and would reject what is left after the wait.
_RESERVE = f"""
WITH {idempotency.EARLIER},
event AS MATERIALIZED (
    SELECT {IS_ON_SALE} AS is_on_sale, {buyer_limits.MAX_TICKETS}, {offering.EVENT_COLUMN}
    FROM events e WHERE e.id = %(event_id)s
),
picked AS MATERIALIZED (
    SELECT t.id, t.name, t.price, t.available_quantity, t.total_quantity, wanted.quantity
    FROM ticket_types t
    JOIN unnest(%(type_ids)s::uuid[], %(quantities)s::bigint[]) AS wanted (id, quantity) ON wanted.id = t.id
    WHERE t.event_id = %(event_id)s
    ORDER BY t.id FOR UPDATE OF t
),
verdict AS MATERIALIZED (
    SELECT count(*) = cardinality(%(type_ids)s::uuid[]) AS all_found, bool_and(available_quantity >= quantity) AS enough,
           least(sum(price * quantity), {MAX_AMOUNT + 1})::bigint AS total,
           sum(quantity) AS quantity
    FROM picked
),
{
    offering.asked_for(
        types="ARRAY(SELECT id FROM picked)",
        condition="event e WHERE e.has_waitlist AND e.is_on_sale AND NOT EXISTS (SELECT FROM earlier)"
        " AND EXISTS (SELECT FROM picked WHERE available_quantity > 0)",
    )
},
{
    buyer_limits.buyer(
        seat_ids="NULL",
        condition=f'''e.is_on_sale AND v.all_found AND v.enough AND v.total <= {MAX_AMOUNT}
      AND NOT EXISTS (SELECT FROM earlier) AND {offering.NONE_OFFERED}''',
    )
},
reservation AS (
    INSERT INTO reservations (user_id, event_id, reservation_number, total_amount, held_until)
    SELECT %(user_id)s, %(event_id)s, %(number)s, v.total, now() + make_interval(secs => %(seconds)s)
    FROM verdict v, buyer b WHERE {buyer_limits.MAY_BUY}
    RETURNING *
),
items AS (
    INSERT INTO reservation_items (reservation_id, ticket_type_id, quantity, unit_price, subtotal, is_live)
    SELECT r.id, p.id, p.quantity, p.price, p.price * p.quantity, true FROM reservation r, picked p
),
stock AS (
    UPDATE ticket_types t SET available_quantity = p.available_quantity - p.quantity, total_quantity = p.total_quantity,
        updated_at = now()
    FROM reservation r, picked p WHERE t.id = p.id
    RETURNING t.id, t.available_quantity, t.total_quantity, nextval('change_number') AS change
),
{idempotency.recorded("jsonb_build_object('number', %(number)s::text, 'total', v.total)")},
{_CREATED}
SELECT e.is_on_sale, v.all_found, v.enough, v.total, r.id AS reservation_id,
       (SELECT jsonb_agg(to_jsonb(p)) FROM picked p) AS types,
       (SELECT jsonb_agg(to_jsonb(stock)) FROM stock) AS stock,
       {idempotency.EARLIER_RECORD}, {buyer_limits.RECORD}, {offering.OFFERS},
       CASE WHEN NOT v.enough THEN EXISTS (
           SELECT FROM reservations h JOIN reservation_items i ON i.reservation_id = h.id
           WHERE h.status = 'pending' AND h.deadline <= now() AND i.ticket_type_id = ANY(%(type_ids)s::uuid[])
       ) END AS hold_is_overdue
FROM verdict v LEFT JOIN event e ON true LEFT JOIN reservation r ON true
"""


def reserve_tickets(
    *, buyer: Visitor, event_id: UUID, quantities: Mapping[UUID, int], request: IdempotentRequest | None = None
) -> ReservedTickets:
    """Reserves quantities by ticket type for RESERVATION_SECONDS, all or none.

    Raises QuantityTooSmall, EventNotFound, NotOnSale, NoSuchTicket, NotEnoughTickets, AmountTooLarge, TicketLimitReached,
    UnpaidTimeUsedUp, UserNotFound, and what `run_if_admitted` raises; with a `request` also RequestInProgress,
    RejectedBefore, IdempotencyKeyReused.
    """
    if any(quantity < 1 for quantity in quantities.values()):
        raise QuantityTooSmall
    try:
        return _reserve(buyer=buyer, event_id=event_id, quantities=quantities, request=request)
    except (DomainError, RespondedBefore) as outcome:
        return _reserved_before(idempotency.earlier_response(request, outcome))


def _reserve(
    *, buyer: Visitor, event_id: UUID, quantities: Mapping[UUID, int], request: IdempotentRequest | None
) -> ReservedTickets:
    # Stock has no locks, since many buyers may have it at once: this is for the admission, and the lock of the request.
    request_locks = idempotency.request_locks(request, event_id=event_id)
    locks = seats.acquire_locks(event_id=event_id, buyer=buyer, also=request_locks)
    with locks.released_on_failure():
        reserved = _insert(user_id=buyer.user_id, event_id=event_id, quantities=quantities, request=request)
    after_commit(
        effects.tickets_were_reserved,
        event_id=event_id,
        stock=reserved.stock,
        quantity=sum(quantities.values()),
        locks=locks,
    )
    return reserved


def _insert(
    *, user_id: UUID, event_id: UUID, quantities: Mapping[UUID, int], request: IdempotentRequest | None
) -> ReservedTickets:
    """One statement; two more when holds past their deadline are in the way, one more when others wait for the tickets."""
    number = new_reservation_number()
    parameters = {
        "user_id": user_id,
        "event_id": event_id,
        "type_ids": list(quantities),
        "quantities": [min(quantity, MAX_QUANTITY) for quantity in quantities.values()],
        "seconds": settings.RESERVATION_SECONDS,
        "number": number,
        **buyer_limits.parameters(),
        **offering.parameters(),
    }
    fetch = partial(idempotency.fetch_reserved, _RESERVE, parameters, request)
    row = offering.fetch_unoffered(fetch)
    if row["hold_is_overdue"] or buyer_limits.is_behind_own_hold(row["buyer"]):
        expire_holders(ticket_type_ids=list(quantities), user_id=user_id, event_id=event_id)
        row = offering.fetch_unoffered(fetch)
    if row["reservation_id"] is None:
        raise _rejection(row, list(quantities))
    return ReservedTickets(
        reservation_id=row["reservation_id"], number=number, total_amount=row["total"], stock=row["stock"]
    )


def _rejection(row: dict[str, Any], type_ids: Sequence[UUID]) -> DomainError:
    """Why no reservation was made: the first reason, for the first ticket type of the request."""
    if row["is_on_sale"] is None:
        return EventNotFound()
    if not row["is_on_sale"]:
        return NotOnSale()
    if not row["all_found"]:
        return NoSuchTicket()
    by_id = {UUID(ticket_type["id"]): ticket_type for ticket_type in row["types"]}
    for ticket_type in (by_id[type_id] for type_id in type_ids):
        if ticket_type["available_quantity"] < ticket_type["quantity"]:
            return NotEnoughTickets(name=ticket_type["name"], left=ticket_type["available_quantity"])
    wanted = sum(ticket_type["quantity"] for ticket_type in by_id.values())
    return buyer_limits.rejection(row, quantity=wanted, labels={}) or AmountTooLarge()


def _reserved_before(response: Mapping[str, Any]) -> ReservedTickets:
    """What `_insert` returned when the reservation was made, but for the stock."""
    return ReservedTickets(
        reservation_id=response["reservation_id"], number=response["number"], total_amount=response["total"], stock=[]
    )
