"""Taking tickets from stock for a buyer who has some minutes to pay."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError

from events.errors import EventNotFound, NotOnSale
from events.selectors import IS_ON_SALE
from kernel.db.sql import after_commit, fetch_one, violated_constraint
from kernel.http.auth import UserNotFound
from queueing.services import Visitor
from reservations import effects, idempotency
from reservations.errors import AmountTooLarge
from reservations.idempotency import AnsweredBefore
from reservations.models import Reservation
from reservations.services.numbering import new_reservation_number
from reservations.services.releasing import expire_holders
from reservations.services.reserving import MAX_AMOUNT
from seats.services import locking as locks
from tickets.errors import NoSuchTicket, NotEnoughTickets, QuantityTooSmall

MAX_OF_ONE_TYPE = 2**31 - 1  # more than any stock; a larger quantity is refused just as well


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketSale:
    """Tickets that a buyer holds. `stock` is what is left: {id, available_quantity, total_quantity, change}."""

    reservation_id: UUID
    number: str
    total_amount: int
    stock: list[dict[str, Any]]


# One round trip, as in `reserving`: `picked` locks the ticket types in id order, and sees their stock after any wait.
_BUY = f"""
WITH {idempotency.EARLIER},
event AS MATERIALIZED (SELECT {IS_ON_SALE} AS is_on_sale FROM events e WHERE e.id = %(event_id)s),
picked AS MATERIALIZED (
    SELECT t.id, t.name, t.price, t.available_quantity, asked.quantity
    FROM ticket_types t
    JOIN unnest(%(type_ids)s::uuid[], %(quantities)s::bigint[]) AS asked (id, quantity) ON asked.id = t.id
    WHERE t.event_id = %(event_id)s
    ORDER BY t.id FOR UPDATE OF t
),
verdict AS MATERIALIZED (
    SELECT count(*) = cardinality(%(type_ids)s::uuid[]) AS all_found, bool_and(available_quantity >= quantity) AS enough,
           least(sum(price * quantity), {MAX_AMOUNT + 1})::bigint AS total
    FROM picked
),
reservation AS (
    INSERT INTO reservations (user_id, event_id, reservation_number, total_amount, held_until)
    SELECT %(user_id)s, %(event_id)s, %(number)s, v.total, now() + make_interval(secs => %(seconds)s)
    FROM verdict v, event e
    WHERE e.is_on_sale AND v.all_found AND v.enough AND v.total <= {MAX_AMOUNT} AND NOT EXISTS (SELECT FROM earlier)
    RETURNING id
),
items AS (
    INSERT INTO reservation_items (reservation_id, ticket_type_id, quantity, unit_price, subtotal, is_live)
    SELECT r.id, p.id, p.quantity, p.price, p.price * p.quantity, true FROM reservation r, picked p
),
stock AS (
    UPDATE ticket_types t SET available_quantity = t.available_quantity - p.quantity, updated_at = now()
    FROM reservation r, picked p WHERE t.id = p.id
    RETURNING t.id, t.available_quantity, t.total_quantity, nextval('change_number') AS change
),
{idempotency.REMEMBERED}
SELECT e.is_on_sale, v.all_found, v.enough, v.total, r.id AS reservation_id,
       (SELECT jsonb_agg(to_jsonb(p)) FROM picked p) AS types,
       (SELECT jsonb_agg(to_jsonb(stock)) FROM stock) AS stock, {idempotency.EARLIER_RECORD},
       CASE WHEN NOT v.enough THEN EXISTS (
           SELECT FROM reservations h JOIN reservation_items i ON i.reservation_id = h.id
           WHERE h.status = 'pending' AND h.deadline <= now() AND i.ticket_type_id = ANY(%(type_ids)s::uuid[])
       ) END AS some_hold_is_over
FROM verdict v LEFT JOIN event e ON true LEFT JOIN reservation r ON true
"""


def buy_tickets(
    *, buyer: Visitor, event_id: UUID, quantities: Mapping[UUID, int], request: idempotency.Request | None = None
) -> TicketSale:
    """Takes tickets from stock, by ticket type, for RESERVATION_SECONDS. All of them, or none.

    Raises QuantityTooSmall, EventNotFound, NotOnSale, NoSuchTicket, NotEnoughTickets, AmountTooLarge, UserNotFound,
    and what `acquire_locks` raises; with a `request`, also what `idempotency.once` raises.
    """

    def sell() -> TicketSale:
        held = locks.acquire_locks(event_id=event_id, buyer=buyer, request=request.name if request else None)
        try:
            sale = _buy(user_id=buyer.user_id, event_id=event_id, quantities=quantities, request=request)
        except BaseException:
            held.let_go()
            raise
        after_commit(
            effects.tickets_were_taken,
            event_id=event_id,
            stock=sale.stock,
            quantity=sum(quantities.values()),
            locks=held,
        )
        return sale

    if any(quantity < 1 for quantity in quantities.values()):
        raise QuantityTooSmall
    return idempotency.once(request, sell=sell, load=_ticket_sale)


def _buy(
    *, user_id: UUID, event_id: UUID, quantities: Mapping[UUID, int], request: idempotency.Request | None
) -> TicketSale:
    """One statement; two more when holds that are past their time are in the way."""
    number = new_reservation_number()
    parameters = {
        "user_id": user_id,
        "event_id": event_id,
        "type_ids": list(quantities),
        "quantities": [min(quantity, MAX_OF_ONE_TYPE) for quantity in quantities.values()],
        "seconds": settings.RESERVATION_SECONDS,
        "number": number,
        **idempotency.parameters(request),
    }
    found = _run(parameters)
    if found["some_hold_is_over"]:
        expire_holders(ticket_type_ids=list(quantities))
        found = _run(parameters)
    if found["reservation_id"] is None:
        _refuse(found, list(quantities))
    return TicketSale(
        reservation_id=found["reservation_id"], number=number, total_amount=found["total"], stock=found["stock"]
    )


def _run(parameters: dict[str, Any]) -> dict[str, Any]:
    try:
        found = fetch_one(_BUY, parameters)
    except IntegrityError as error:
        if violated_constraint(error) == "reservation_user":
            raise UserNotFound from error
        raise
    if found["earlier"] is not None:
        raise AnsweredBefore(found["earlier"])
    return found


def _refuse(found: dict[str, Any], asked: list[UUID]) -> None:
    """Says why no reservation was made: the first reason, for the first ticket type that was asked for."""
    if found["is_on_sale"] is None:
        raise EventNotFound
    if not found["is_on_sale"]:
        raise NotOnSale
    if not found["all_found"]:
        raise NoSuchTicket
    by_id = {UUID(found_type["id"]): found_type for found_type in found["types"]}
    for type_id in asked:
        if by_id[type_id]["available_quantity"] < by_id[type_id]["quantity"]:
            raise NotEnoughTickets(name=by_id[type_id]["name"], left=by_id[type_id]["available_quantity"])
    raise AmountTooLarge


def _ticket_sale(reservation_id: UUID) -> TicketSale:
    """The sale as it was answered when it was made."""
    made = Reservation.objects.get(id=reservation_id)
    return TicketSale(reservation_id=made.id, number=made.reservation_number, total_amount=made.total_amount, stock=[])
