"""Cancelling a part of a paid reservation: some of its seats, or some of its tickets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError

from kernel.db.sql import fetch_one, violated_constraint
from kernel.errors import DomainError
from outbox import sql as outbox
from outbox.models import MessageKind
from reservations.errors import (
    IdempotencyKeyReused,
    NotAPart,
    NothingToCancel,
    PartIsUnpaid,
    SeatStatusDiffers,
)
from reservations.models import Reservation
from reservations.selectors import IS_BEING_PAID, IS_CANCELLABLE, IS_OVERDUE
from reservations.services import offering
from reservations.services.releasing import cancel_reservation, publish_released, restocked, why_not_cancelled

_CHANGED = outbox.record(
    "changed r LEFT JOIN refund f ON true",
    kinds=outbox.kinds(
        MessageKind.RESERVATION_CHANGED, outbox.kind_if(MessageKind.RESERVATION_REFUND_DUE, "f.id IS NOT NULL")
    ),
    subject="r.id",
    event="r.event_id",
    data=outbox.reservation_data(
        "r",
        items="""(
            SELECT jsonb_agg(jsonb_build_object('seatId', i.seat_id, 'ticketTypeId', i.ticket_type_id,
                'quantity', i.quantity - coalesce(part.gone, 0), 'unitPrice', i.unit_price) ORDER BY i.id)
            FROM item i LEFT JOIN part ON part.id = i.id WHERE i.quantity > coalesce(part.gone, 0)
        )""",
        more=outbox.refund_data("f"),
    ),
)

# `part` is what goes, `remaining` how much stays. Tickets of one type may be in several items: they go from the first on.
# What was cancelled stands in the refund; the reservation is then one of what remains.
_CANCEL_PART = f"""
WITH earlier AS MATERIALIZED (
    SELECT amount, items FROM refunds
    WHERE reservation_id = %(reservation_id)s AND idempotency_key = %(request_key)s::text
),
target AS MATERIALIZED (
    SELECT id, event_id, payment_id, status, total_amount, {IS_OVERDUE} AS is_overdue, {IS_BEING_PAID} AS is_being_paid,
           {IS_CANCELLABLE} AS is_open
    FROM reservations WHERE id = %(reservation_id)s AND user_id = %(user_id)s FOR UPDATE
),
item AS MATERIALIZED (
    SELECT i.id, i.seat_id, i.ticket_type_id, i.quantity, i.unit_price FROM reservation_items i
    JOIN target t ON t.id = i.reservation_id AND t.status = 'confirmed' ORDER BY i.id FOR UPDATE OF i
),
part AS MATERIALIZED (
    SELECT id, seat_id, ticket_type_id, quantity, unit_price, quantity AS gone FROM item
    WHERE seat_id = ANY(%(seat_ids)s::uuid[])
    UNION ALL
    SELECT i.id, NULL, i.ticket_type_id, i.quantity, i.unit_price, least(i.quantity, wanted.quantity - i.before)
    FROM (
        SELECT *, sum(quantity) OVER (PARTITION BY ticket_type_id ORDER BY id) - quantity AS before FROM item
    ) i JOIN unnest(%(type_ids)s::uuid[], %(quantities)s::bigint[]) AS wanted (id, quantity) ON wanted.id = i.ticket_type_id
    WHERE i.before < wanted.quantity
),
locked_seat AS MATERIALIZED (
    SELECT s.id, s.status, s.seat_label FROM seats s WHERE s.id IN (SELECT seat_id FROM part) ORDER BY s.id FOR UPDATE
),
verdict AS MATERIALIZED (
    SELECT coalesce(sum(gone), 0) = cardinality(%(seat_ids)s::uuid[])
               + coalesce((SELECT sum(q) FROM unnest(%(quantities)s::bigint[]) q), 0) AS all_found,
           (SELECT coalesce(sum(quantity), 0) FROM item) - coalesce(sum(gone), 0) AS remaining,
           coalesce(sum(gone * unit_price), 0)::bigint AS amount,
           NOT EXISTS (SELECT FROM locked_seat WHERE status NOT IN ('available', 'sold')) AS is_sold
    FROM part
),
changed AS (
    UPDATE reservations r SET total_amount = t.total_amount - v.amount, updated_at = now() FROM target t, verdict v
    WHERE r.id = t.id AND t.status = 'confirmed' AND t.is_open AND v.all_found AND v.remaining > 0 AND v.is_sold
      AND NOT EXISTS (SELECT FROM earlier)
    RETURNING r.*, v.amount
),
refund AS (
    INSERT INTO refunds (reservation_id, payment_id, amount, reason, idempotency_key, items)
    SELECT id, payment_id, amount, 'buyer', %(request_key)s::text, (
        SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
            'seatId', part.seat_id, 'seatLabel', l.seat_label, 'ticketTypeId', part.ticket_type_id,
            'quantity', part.gone, 'amount', part.gone * part.unit_price
        )) ORDER BY part.id) FROM part LEFT JOIN locked_seat l ON l.id = part.seat_id
    ) FROM changed WHERE amount > 0
    RETURNING id, payment_id, amount, reason
),
removed AS (
    DELETE FROM reservation_items i USING part, changed WHERE i.id = part.id AND part.gone = part.quantity RETURNING 1
),
reduced AS (
    UPDATE reservation_items i SET quantity = part.quantity - part.gone,
        subtotal = (part.quantity - part.gone) * part.unit_price
    FROM part, changed WHERE i.id = part.id AND part.gone < part.quantity RETURNING 1
),
released AS (
    UPDATE seats s SET status = 'available', updated_at = now() FROM locked_seat l, changed
    WHERE s.id = l.id AND l.status <> 'available'
    RETURNING s.id, s.event_id, nextval('change_number') AS change
),
{restocked("SELECT ticket_type_id, sum(gone) AS quantity FROM part, changed GROUP BY 1")},
{_CHANGED},
{offering.released(seats="released", types="restocked", after=("removed", "reduced"))}
SELECT (SELECT to_jsonb(target) FROM target) AS target, (SELECT to_jsonb(earlier) FROM earlier) AS earlier,
       (SELECT jsonb_build_object('amount', amount, 'total_amount', total_amount) FROM changed) AS changed,
       to_jsonb(v) AS verdict,
       (SELECT jsonb_agg(to_jsonb(released)) FROM released) AS seats,
       (SELECT jsonb_agg(to_jsonb(restocked)) FROM restocked) AS stock, {offering.OFFERS}
FROM verdict v
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Seats, and quantities by ticket type. With the `request_key` of an earlier request, the result is the same again."""

    seat_ids: list[UUID]
    quantities: dict[UUID, int]
    request_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelledPart:
    """What is owed now, and what the rest of the reservation costs; both in won."""

    refund_amount: int
    total_amount: int


def cancel(*, user_id: UUID, reservation_id: UUID, part: Part | None) -> CancelledPart | None:
    """Cancels a buyer's reservation, or only a `part` of a paid one; all of it if nothing would remain.

    Raises what `cancel_reservation` raises; with a part also NotAPart, PartIsUnpaid, IdempotencyKeyReused.
    """
    if part is None:
        cancel_reservation(user_id=user_id, reservation_id=reservation_id)
        return None
    row = _fetch(
        {
            "user_id": user_id,
            "reservation_id": reservation_id,
            "seat_ids": part.seat_ids,
            "type_ids": list(part.quantities),
            "quantities": list(part.quantities.values()),
            "cancellation_hours": settings.CANCELLATION_HOURS,
            "request_key": part.request_key,
            **offering.parameters(),
        }
    )
    target, changed, earlier = row["target"], row["changed"], row["earlier"]
    if target is None:
        raise NothingToCancel
    if earlier is not None:
        if not _is_same(earlier["items"], part):
            raise IdempotencyKeyReused
        return CancelledPart(refund_amount=earlier["amount"], total_amount=target["total_amount"])
    if changed is not None:
        publish_released(row)
        return CancelledPart(refund_amount=changed["amount"], total_amount=changed["total_amount"])
    if (rejection := _rejection(target, row["verdict"])) is not None:
        raise rejection
    cancel_reservation(user_id=user_id, reservation_id=reservation_id)
    return CancelledPart(refund_amount=target["total_amount"], total_amount=0)


def _fetch(parameters: dict[str, Any]) -> dict[str, Any]:
    try:
        return fetch_one(_CANCEL_PART, parameters)
    except IntegrityError as error:
        if violated_constraint(error) != "part_cancelled_once":
            raise
        return fetch_one(_CANCEL_PART, parameters)  # the same request came at the same moment


def _is_same(items: list[dict[str, Any]], part: Part) -> bool:
    seats = {item["seatId"] for item in items if "seatId" in item}
    tickets: dict[str, int] = {}
    for item in items:
        if "ticketTypeId" in item:
            tickets[item["ticketTypeId"]] = tickets.get(item["ticketTypeId"], 0) + item["quantity"]
    wanted = {str(type_id): quantity for type_id, quantity in part.quantities.items()}
    return (seats, tickets) == (set(map(str, part.seat_ids)), wanted)


def _rejection(target: Mapping[str, Any], verdict: Mapping[str, Any]) -> DomainError | None:
    """Why no part was cancelled; None if nothing would remain."""
    if target["status"] == Reservation.Status.PENDING and not target["is_overdue"]:
        return PartIsUnpaid()
    if target["status"] != Reservation.Status.CONFIRMED or not target["is_open"]:
        return why_not_cancelled(target)
    if not verdict["all_found"]:
        return NotAPart()
    return SeatStatusDiffers() if not verdict["is_sold"] else None
