"""Confirming a reservation that was paid."""

from functools import partial
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import IntegrityError

from events.selectors import IS_ON_SALE
from kernel.db.sql import after_commit, fetch_one, violated_constraint
from outbox import sql as outbox
from outbox.models import MessageKind
from reservations import effects
from reservations.errors import (
    AmountDiffers,
    PaidAfterCancelling,
    PaidTooLate,
    PaidTwice,
    PaymentRefused,
    PaymentRefusedBefore,
    PaymentUsedElsewhere,
    ReservationNotFound,
)
from reservations.models import Refund, Reservation
from reservations.selectors import IS_OVERDUE
from reservations.services import buyer_limits, offering
from reservations.services.releasing import expire_one

Status = Reservation.Status

# What a payment after the deadline must meet besides free places, in SQL, of the reservation `t` and its event `e`.
MAY_RETAKE = f"EXISTS (SELECT FROM events e WHERE e.id = t.event_id AND {IS_ON_SALE})"

_CONFIRMED = outbox.record(
    "confirmed r",
    kinds=outbox.kinds(MessageKind.RESERVATION_CONFIRMED),
    subject="r.id",
    event="r.event_id",
    data=outbox.reservation_data("r", items=outbox.items_of("r.id")),
)

# The reservation's row is locked first, so that exactly one of payment, expiry and cancelling wins; then its items, whose
# seats may have been swapped during the wait. `known` are the responses that the payment got, for whichever reservation; its
# other rows are reservations that another writer has confirmed. `retaken` is the stock of a reservation that has expired,
# and whose places are taken again; its buyer is locked last, and may have no more than the event allows. A late payment buys
# no hold that has yet to be ended while somebody waits for places of the event (`waited_for`), to whom it may be due.
_CONFIRM = f"""
WITH known AS MATERIALIZED (
    SELECT reservation_id, amount, rejection FROM payments WHERE payment_id = %(payment_id)s::text
    UNION ALL SELECT id, total_amount, NULL FROM reservations WHERE payment_id = %(payment_id)s::text
),
earlier AS MATERIALIZED (
    SELECT amount, rejection FROM known WHERE reservation_id = %(reservation_id)s LIMIT 1
),
target AS MATERIALIZED (
    SELECT id, event_id, user_id, reservation_number, status, total_amount, {IS_OVERDUE} AS is_overdue,
           status IN ('pending', 'expired') AND deadline <= now()
               AND deadline > now() - make_interval(secs => %(late_seconds)s) AS is_late,
           CASE WHEN status = 'pending' AND deadline <= now() THEN is_waited_for(event_id) ELSE false END AS is_waited_for
    FROM reservations WHERE id = %(reservation_id)s FOR UPDATE
),
payable AS MATERIALIZED (
    SELECT t.id, t.status, t.is_late, t.user_id, t.event_id FROM target t
    WHERE t.total_amount = %(amount)s AND NOT EXISTS (SELECT FROM known)
      AND ((t.status = 'pending' AND NOT t.is_overdue) OR (t.is_late AND {MAY_RETAKE} AND NOT t.is_waited_for))
),
item AS MATERIALIZED (
    SELECT i.seat_id, i.ticket_type_id, i.quantity FROM reservation_items i JOIN payable p ON p.id = i.reservation_id
    ORDER BY i.id FOR UPDATE OF i
),
locked_seat AS MATERIALIZED (
    SELECT s.id, s.status FROM seats s WHERE s.id IN (SELECT seat_id FROM item) ORDER BY s.id FOR UPDATE
),
seats_are_free AS MATERIALIZED (
    SELECT NOT EXISTS (
        SELECT FROM item LEFT JOIN locked_seat l ON l.id = item.seat_id
        WHERE item.ticket_type_id IS NULL AND l.status IS DISTINCT FROM 'available'
    ) AS yes
),
retaken AS MATERIALIZED (
    SELECT t.id, t.total_quantity, t.available_quantity - wanted.quantity AS available_quantity
    FROM ticket_types t JOIN (
        SELECT ticket_type_id, sum(quantity) AS quantity FROM item JOIN payable p ON p.status = 'expired' GROUP BY 1
    ) wanted ON wanted.ticket_type_id = t.id
    WHERE (SELECT yes FROM seats_are_free) ORDER BY t.id FOR UPDATE OF t
),
{
    offering.asked_for(
        event="p.event_id",
        seats="ARRAY(SELECT id FROM locked_seat WHERE status = 'available')",
        types="ARRAY(SELECT id FROM retaken)",
        condition="payable p WHERE p.is_late",
    )
},
buyer AS MATERIALIZED (
    SELECT (lock_buyer(p.user_id, p.event_id, '{{}}', 0, 0, 0, 0)).held
               + CASE p.status WHEN 'expired' THEN (SELECT sum(quantity) FROM item) ELSE 0 END AS quantity,
           (SELECT {buyer_limits.MAX_TICKETS} FROM events e WHERE e.id = p.event_id)
    FROM payable p WHERE p.is_late AND (SELECT count(*) FROM retaken) IS NOT NULL AND {offering.NONE_OFFERED}
),
confirmed AS (
    UPDATE reservations r SET status = 'confirmed', payment_status = 'completed', payment_method = %(payment_method)s,
        payment_id = %(payment_id)s, updated_at = now()
    FROM payable p WHERE r.id = p.id
      AND (NOT p.is_late OR EXISTS (SELECT FROM buyer WHERE quantity <= max_tickets))
      AND (
        p.status = 'pending'
        OR ((SELECT yes FROM seats_are_free) AND NOT EXISTS (SELECT FROM retaken WHERE available_quantity < 0))
    )
    RETURNING r.*
),
payment AS (
    INSERT INTO payments (payment_id, reservation_id, amount, is_first)
    SELECT %(payment_id)s::text, id, %(amount)s, true FROM confirmed
),
sold AS (
    UPDATE seats s SET status = 'sold', updated_at = now() FROM locked_seat l, confirmed WHERE s.id = l.id
    RETURNING s.id, nextval('change_number') AS change
),
stock AS (
    UPDATE ticket_types t SET available_quantity = r.available_quantity, total_quantity = r.total_quantity,
        updated_at = now()
    FROM retaken r, confirmed WHERE t.id = r.id
    RETURNING t.id, t.available_quantity, t.total_quantity, nextval('change_number') AS change
),
{_CONFIRMED}
SELECT (SELECT to_jsonb(target) FROM target) AS target, (SELECT to_jsonb(earlier) FROM earlier) AS earlier,
       EXISTS (SELECT FROM confirmed) AS is_new,
       (SELECT coalesce(jsonb_object_agg(id, change), '{{}}') FROM sold) AS changes,
       (SELECT coalesce(jsonb_agg(to_jsonb(stock)), '[]') FROM stock) AS stock,
       (SELECT is_late AND is_waited_for FROM target) AS is_waited_for, {offering.OFFERS}
"""

_REFUND_DUE = outbox.record(
    "refund f, target r",
    kinds=outbox.kinds(MessageKind.RESERVATION_REFUND_DUE),
    subject="r.id",
    event="r.event_id",
    data=outbox.reservation_data("r", items=outbox.items_of("r.id"), more=outbox.refund_data("f")),
)

# Locks in the same order as a confirmation: the reservation, then the payment. Returns what was recorded first. A payment
# that has come for this reservation first, and bought nothing, is owed from now on.
_RECORD_REJECTION = f"""
WITH target AS MATERIALIZED (SELECT * FROM reservations WHERE id = %(reservation_id)s FOR NO KEY UPDATE),
recorded AS (
    INSERT INTO payments (payment_id, reservation_id, amount, rejection, is_first)
    SELECT %(payment_id)s::text, id, %(amount)s, %(rejection)s::jsonb,
           NOT EXISTS (SELECT FROM payments WHERE payment_id = %(payment_id)s::text)
           AND NOT EXISTS (SELECT FROM reservations WHERE payment_id = %(payment_id)s::text)
    FROM target
    ON CONFLICT (payment_id, reservation_id) DO UPDATE SET payment_id = excluded.payment_id
    RETURNING amount, rejection, is_first AND xmax = 0 AS is_owed
),
refund AS (
    INSERT INTO refunds (reservation_id, payment_id, amount, reason)
    SELECT %(reservation_id)s, %(payment_id)s::text, amount, %(reason)s::text FROM recorded WHERE is_owed AND amount > 0
    RETURNING id, payment_id, amount, reason
),
{_REFUND_DUE}
SELECT amount, rejection FROM recorded
"""


def confirm_reservation(
    *, reservation_id: UUID, amount: int, payment_method: str, payment_id: str, records_rejection: bool = True
) -> dict[str, Any]:
    """Confirms a pending reservation. The same payment gets its first result again, whatever happened since.

    One whose deadline has passed less than LATE_PAYMENT_SECONDS ago is confirmed, too, if its places are still free, its
    event on sale, and the buyer within the limit. Returns {id, reservation_number, total_amount} and the reservation's
    status now, `current_status`. Raises ReservationNotFound, PaidTooLate, PaidAfterCancelling, PaidTwice, AmountDiffers,
    PaymentUsedElsewhere or PaymentRefusedBefore; a refund is due then. Without `records_rejection` the payment may be tried
    again, and nothing is due.
    """
    payment = {
        "reservation_id": reservation_id,
        "amount": amount,
        "payment_method": payment_method,
        "payment_id": payment_id,
        "late_seconds": settings.LATE_PAYMENT_SECONDS,
        "max_tickets": settings.MAX_TICKETS_PER_BUYER,
        **offering.parameters(),
    }
    row = offering.fetch_unoffered(partial(_confirm, payment))
    if row["is_waited_for"]:  # what has lapsed goes to those who wait, and only what they cannot have comes back
        expire_one(reservation_id)
        row = offering.fetch_unoffered(partial(_confirm, payment))
    target = row["target"]
    if target is None:
        raise ReservationNotFound
    if row["is_new"]:
        current_status = Status.CONFIRMED.value
        event_id = UUID(target["event_id"]) if target["event_id"] else None
        after_commit(
            effects.reservation_was_paid,
            event_id=event_id,
            user_id=UUID(target["user_id"]),
            changes={UUID(seat_id): change for seat_id, change in row["changes"].items()},
        )
        if event_id is not None and row["stock"]:
            after_commit(effects.stock_was_changed, event_id=event_id, stock=row["stock"])
    else:
        current_status = status_now(target)
        rejection = _first_rejection(payment, row, records_rejection=records_rejection)
        if rejection is not None:
            rejection.reservation_status = current_status
            raise rejection
    return {
        "id": target["id"],
        "reservation_number": target["reservation_number"],
        "total_amount": amount,
        "current_status": current_status,
    }


_SAME_PAYMENT = ("payment_answered_once", "payment_pays_once", "payment_counts_once")


def _confirm(payment: dict[str, Any]) -> dict[str, Any]:
    try:
        return fetch_one(_CONFIRM, payment)
    except IntegrityError as error:
        match violated_constraint(error):
            case "seat_in_one_live_reservation":
                # A seat whose status says available, in a live reservation: it is not free.
                return fetch_one(_CONFIRM, {**payment, "late_seconds": 0})
            case constraint if constraint in _SAME_PAYMENT:
                # It came at the same moment for another reservation, or was refused. The next look sees it.
                return fetch_one(_CONFIRM, payment)
        raise


def _first_rejection(payment: dict[str, Any], row: dict[str, Any], *, records_rejection: bool) -> PaymentRefused | None:
    """The rejection that the payment got the first time it came, which may be now. None if it confirmed the reservation."""
    earlier = row["earlier"]
    if earlier is None:
        rejection = _rejection(row["target"], amount=payment["amount"])
        if not records_rejection:
            return rejection
        earlier = _record(payment, rejection)
    if earlier["rejection"] is not None:
        return PaymentRefusedBefore(earlier["rejection"])
    return None if earlier["amount"] == payment["amount"] else AmountDiffers()


def _record(payment: dict[str, Any], rejection: PaymentRefused) -> dict[str, Any]:
    is_late = isinstance(rejection, PaidTooLate)
    parameters = {
        **payment,
        "rejection": orjson.dumps(PaymentRefusedBefore.record(rejection)).decode(),
        "reason": (Refund.Reason.LATE_PAYMENT if is_late else Refund.Reason.PAYMENT_REFUSED).value,
    }
    try:
        return fetch_one(_RECORD_REJECTION, parameters)
    except IntegrityError as error:
        if violated_constraint(error) != "payment_counts_once":
            raise
        return fetch_one(_RECORD_REJECTION, parameters)  # it came at the same moment for another reservation


def _rejection(target: dict[str, Any], *, amount: int) -> PaymentRefused:
    """Why a payment that came for the first time has confirmed nothing."""
    if (refusal := why_not_payable(target)) is not None:
        return refusal
    return AmountDiffers() if target["total_amount"] != amount else PaymentUsedElsewhere()


def why_not_payable(target: dict[str, Any]) -> PaymentRefused | None:
    """Why a reservation cannot be paid now, by its `status` and `is_overdue`; None if it can."""
    match target["status"]:
        case Status.CANCELLED:
            return PaidAfterCancelling()
        case Status.CONFIRMED:
            return PaidTwice()
        case Status.PENDING if not target["is_overdue"]:
            return None
    return PaidTooLate()


def status_now(target: dict[str, Any]) -> str:
    """The status, as every operation sees it: a hold past its deadline has expired."""
    status: str = Status.EXPIRED.value if target["is_overdue"] else target["status"]
    return status
