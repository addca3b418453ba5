"""Confirming a reservation that was paid."""

from typing import Any
from uuid import UUID

from django.db import IntegrityError

from kernel.db.sql import after_commit, fetch_one, violated_constraint
from reservations import effects
from reservations.errors import (
    AmountDiffers,
    PaidAfterCancelling,
    PaidTooLate,
    PaidTwice,
    PaymentUsedElsewhere,
    ReservationNotFound,
)
from reservations.models import Reservation

# The reservation's row is locked first, so that exactly one of payment, expiry and cancelling wins.
_CONFIRM = """
WITH target AS MATERIALIZED (
    SELECT id, event_id, user_id, reservation_number, status, total_amount, payment_id,
           deadline IS NOT NULL AND deadline <= now() AS is_late
    FROM reservations WHERE id = %(reservation_id)s FOR UPDATE
),
confirmed AS (
    UPDATE reservations r SET status = 'confirmed', payment_status = 'completed', payment_method = %(payment_method)s,
        payment_id = %(payment_id)s, updated_at = now()
    FROM target t WHERE r.id = t.id AND t.status = 'pending' AND NOT t.is_late AND t.total_amount = %(amount)s
    RETURNING r.id
),
locked_seat AS MATERIALIZED (
    SELECT s.id FROM seats s WHERE s.id IN (
        SELECT i.seat_id FROM reservation_items i JOIN confirmed ON confirmed.id = i.reservation_id WHERE i.is_live
    ) ORDER BY s.id FOR UPDATE
),
sold AS (
    UPDATE seats s SET status = 'sold', updated_at = now() FROM locked_seat l WHERE s.id = l.id
    RETURNING s.id, nextval('change_number') AS change
)
SELECT (SELECT to_jsonb(target) FROM target) AS target, EXISTS (SELECT FROM confirmed) AS is_new,
       (SELECT coalesce(jsonb_object_agg(id, change), '{}') FROM sold) AS changes
"""


def confirm_reservation(*, reservation_id: UUID, amount: int, payment_method: str, payment_id: str) -> dict[str, Any]:
    """Confirms a pending reservation. The same payment again gets the same result.

    Returns {id, reservation_number, status, total_amount}. Raises ReservationNotFound, PaidTooLate, PaidAfterCancelling,
    PaidTwice, AmountDiffers or PaymentUsedElsewhere; the payment service refunds it then.
    """
    try:
        row = fetch_one(
            _CONFIRM,
            {
                "reservation_id": reservation_id,
                "amount": amount,
                "payment_method": payment_method,
                "payment_id": payment_id,
            },
        )
    except IntegrityError as error:
        if violated_constraint(error) == "payment_pays_once":
            raise PaymentUsedElsewhere from error
        raise
    target = row["target"]
    if target is None:
        raise ReservationNotFound
    if row["is_new"]:
        event_id = UUID(target["event_id"]) if target["event_id"] else None
        after_commit(
            effects.reservation_was_paid,
            event_id=event_id,
            user_id=UUID(target["user_id"]),
            changes={UUID(seat_id): change for seat_id, change in row["changes"].items()},
        )
    else:
        _refuse_unless_same_payment(target, amount=amount, payment_id=payment_id)
    return {
        "id": target["id"],
        "reservation_number": target["reservation_number"],
        "status": Reservation.Status.CONFIRMED.value,
        "total_amount": target["total_amount"],
    }


def _refuse_unless_same_payment(target: dict[str, Any], *, amount: int, payment_id: str) -> None:
    match target["status"]:
        case Reservation.Status.CANCELLED:
            raise PaidAfterCancelling
        case Reservation.Status.EXPIRED:
            raise PaidTooLate
        case Reservation.Status.PENDING if target["is_late"]:
            raise PaidTooLate
        case Reservation.Status.CONFIRMED if target["payment_id"] != payment_id:
            raise PaidTwice
    if target["total_amount"] != amount:
        raise AmountDiffers
