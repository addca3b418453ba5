"""Confirming a reservation that was paid."""

from typing import Any
from uuid import UUID

import orjson
from django.db import IntegrityError

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
from reservations.models import Reservation
from reservations.selectors import IS_OVERDUE

Status = Reservation.Status

_CONFIRMED = outbox.record(
    "confirmed r",
    kinds=outbox.kinds(MessageKind.RESERVATION_CONFIRMED),
    subject="r.id",
    event="r.event_id",
    data=outbox.reservation_data("r", items=outbox.items_of("r.id")),
)

# The reservation's row is locked first, so that exactly one of payment, expiry and cancelling wins. `known` are
# the responses that the payment got, for whichever reservation; its other rows are reservations that another writer has
# confirmed.
_CONFIRM = f"""
WITH known AS MATERIALIZED (
    SELECT reservation_id, amount, rejection FROM payments WHERE payment_id = %(payment_id)s::text
    UNION ALL SELECT id, total_amount, NULL FROM reservations WHERE payment_id = %(payment_id)s::text
),
earlier AS MATERIALIZED (
    SELECT amount, rejection FROM known WHERE reservation_id = %(reservation_id)s LIMIT 1
),
target AS MATERIALIZED (
    SELECT id, event_id, user_id, reservation_number, status, total_amount, {IS_OVERDUE} AS is_overdue
    FROM reservations WHERE id = %(reservation_id)s FOR UPDATE
),
confirmed AS (
    UPDATE reservations r SET status = 'confirmed', payment_status = 'completed', payment_method = %(payment_method)s,
        payment_id = %(payment_id)s, updated_at = now()
    FROM target t WHERE r.id = t.id AND t.status = 'pending' AND NOT t.is_overdue AND t.total_amount = %(amount)s
      AND NOT EXISTS (SELECT FROM known)
    RETURNING r.*
),
payment AS (
    INSERT INTO payments (payment_id, reservation_id, amount) SELECT %(payment_id)s::text, id, %(amount)s FROM confirmed
),
locked_seat AS MATERIALIZED (
    SELECT s.id FROM seats s WHERE s.id IN (
        SELECT i.seat_id FROM reservation_items i JOIN confirmed ON confirmed.id = i.reservation_id WHERE i.is_live
    ) ORDER BY s.id FOR UPDATE
),
sold AS (
    UPDATE seats s SET status = 'sold', updated_at = now() FROM locked_seat l WHERE s.id = l.id
    RETURNING s.id, nextval('change_number') AS change
),
{_CONFIRMED}
SELECT (SELECT to_jsonb(target) FROM target) AS target, (SELECT to_jsonb(earlier) FROM earlier) AS earlier,
       EXISTS (SELECT FROM confirmed) AS is_new,
       (SELECT coalesce(jsonb_object_agg(id, change), '{{}}') FROM sold) AS changes
"""

# Locks in the same order as a confirmation: the reservation, then the payment. Returns what was recorded first.
_RECORD_REJECTION = """
WITH target AS MATERIALIZED (SELECT id FROM reservations WHERE id = %(reservation_id)s FOR KEY SHARE)
INSERT INTO payments (payment_id, reservation_id, amount, rejection)
SELECT %(payment_id)s, id, %(amount)s, %(rejection)s::jsonb FROM target
ON CONFLICT (payment_id, reservation_id) DO UPDATE SET payment_id = excluded.payment_id
RETURNING amount, rejection
"""


def confirm_reservation(
    *, reservation_id: UUID, amount: int, payment_method: str, payment_id: str, records_rejection: bool = True
) -> dict[str, Any]:
    """Confirms a pending reservation. The same payment gets its first result again, whatever happened since.

    Returns {id, reservation_number, total_amount} and the reservation's status now, `current_status`. Raises
    ReservationNotFound, PaidTooLate, PaidAfterCancelling, PaidTwice, AmountDiffers, PaymentUsedElsewhere or
    PaymentRefusedBefore; the payment service refunds it then. Without `records_rejection` the payment may be tried again.
    """
    payment = {
        "reservation_id": reservation_id,
        "amount": amount,
        "payment_method": payment_method,
        "payment_id": payment_id,
    }
    row = _confirm(payment)
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
    else:
        current_status = Status.EXPIRED.value if target["is_overdue"] else target["status"]
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


def _confirm(payment: dict[str, Any]) -> dict[str, Any]:
    try:
        return fetch_one(_CONFIRM, payment)
    except IntegrityError as error:
        if violated_constraint(error) not in ("payment_answered_once", "payment_pays_once"):
            raise
        # The same payment came at the same moment for another reservation, or was refused. The next look sees it.
        return fetch_one(_CONFIRM, payment)


def _first_rejection(payment: dict[str, Any], row: dict[str, Any], *, records_rejection: bool) -> PaymentRefused | None:
    """The rejection that the payment got the first time it came, which may be now. None if it confirmed the reservation."""
    earlier = row["earlier"]
    if earlier is None:
        rejection = _rejection(row["target"], amount=payment["amount"])
        if not records_rejection:
            return rejection
        record = orjson.dumps(PaymentRefusedBefore.record(rejection)).decode()
        earlier = fetch_one(_RECORD_REJECTION, {**payment, "rejection": record})
    if earlier["rejection"] is not None:
        return PaymentRefusedBefore(earlier["rejection"])
    return None if earlier["amount"] == payment["amount"] else AmountDiffers()


def _rejection(target: dict[str, Any], *, amount: int) -> PaymentRefused:
    """Why a payment that came for the first time has confirmed nothing."""
    match target["status"]:
        case Status.CANCELLED:
            return PaidAfterCancelling()
        case Status.EXPIRED:
            return PaidTooLate()
        case Status.PENDING if target["is_overdue"]:
            return PaidTooLate()
        case Status.CONFIRMED:
            return PaidTwice()
    return AmountDiffers() if target["total_amount"] != amount else PaymentUsedElsewhere()
