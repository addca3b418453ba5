"""Giving a hold more time: while it is being paid, after a payment that failed, or because its buyer asks."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from kernel.db.sql import fetch_one
from reservations.errors import (
    AlreadyCancelled,
    AlreadyExpired,
    HoldLimitReached,
    ReservationNotFound,
)
from reservations.models import Reservation
from reservations.selectors import IS_BEING_PAID, IS_OVERDUE
from reservations.services.confirming import status_now, why_not_payable

Status = Reservation.Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A pending reservation after the operation. It is held until `expires_at`, and never longer than until `latest`."""

    reservation_id: UUID
    number: str
    total_amount: int
    expires_at: datetime
    latest: datetime
    is_being_paid: bool


# No deadline ever moves to an earlier moment than the buyer was told, but for one that a payment had put off. Whoever sweeps
# or takes over reads the deadline alone, and so leaves a hold that is being paid in peace.
_MAY = f"status = 'pending' AND NOT {IS_OVERDUE}"
_LATEST = "created_at + make_interval(secs => %(hold_max_seconds)s)"


def _hold(*, may: str, deadline: str, began_at: str, before: str, owner: str = "") -> str:
    """The statement that gives a reservation another `deadline`. All parts are SQL, of its row of `reservations`."""
    return f"""
WITH target AS MATERIALIZED (
    SELECT id, user_id, reservation_number, status, total_amount, {IS_OVERDUE} AS is_overdue, {_LATEST} AS latest,
           deadline AS was, {_MAY} AND {may} AS may, {deadline} AS deadline, {began_at} AS began_at, {before} AS before,
           expires_at IS NOT NULL AS has_expires_at
    FROM reservations WHERE id = %(reservation_id)s {owner} FOR UPDATE
),
moved AS (
    UPDATE reservations r SET payment_began_at = t.began_at, deadline_before_payment = t.before, updated_at = now(),
        expires_at = CASE WHEN t.has_expires_at THEN t.deadline END,
        held_until = CASE WHEN t.has_expires_at THEN r.held_until ELSE t.deadline END
    FROM target t WHERE r.id = t.id AND t.may
    RETURNING r.deadline, r.payment_began_at
)
SELECT (SELECT to_jsonb(target) FROM target) AS target, EXISTS (SELECT FROM moved) AS is_moved,
       (SELECT deadline FROM moved) AS deadline, (SELECT was FROM target) AS was, (SELECT latest FROM target) AS latest
"""


_BEGIN = _hold(
    may=f"NOT {IS_BEING_PAID}",
    deadline=f"greatest(deadline, least({_LATEST}, now() + make_interval(secs => %(payment_seconds)s)))",
    began_at="now()",
    before="deadline",
)
_FAIL = _hold(
    may=IS_BEING_PAID,
    deadline=f"""greatest(
        deadline_before_payment, least({_LATEST}, now() + make_interval(secs => %(payment_retry_seconds)s))
    )""",
    began_at="NULL::timestamptz",
    before="NULL::timestamptz",
)
_MORE = f"least({_LATEST}, now() + make_interval(secs => %(reservation_seconds)s))"
_EXTEND = _hold(
    may=f"{_MORE} > coalesce(deadline_before_payment, deadline)",
    deadline=f"greatest(deadline, {_MORE})",
    began_at="payment_began_at",
    before=f"CASE WHEN deadline_before_payment IS NOT NULL THEN {_MORE} END",
    owner="AND user_id = %(user_id)s",
)


def begin_payment(*, reservation_id: UUID) -> Hold:
    """Keeps a hold for PAYMENT_SECONDS, while somebody pays; nobody can cancel it meanwhile. Idempotent until that ends.

    Raises ReservationNotFound, PaidTooLate, PaidAfterCancelling or PaidTwice.
    """
    row = _move(_BEGIN, reservation_id=reservation_id, payment_seconds=settings.PAYMENT_SECONDS)
    return _result(row, is_being_paid=True)


def fail_payment(*, reservation_id: UUID) -> Hold:
    """Ends a payment that has begun. The hold goes on for PAYMENT_RETRY_SECONDS, or to its own deadline if that is later.

    Idempotent. Raises as `begin_payment`.
    """
    row = _move(_FAIL, reservation_id=reservation_id, payment_retry_seconds=settings.PAYMENT_RETRY_SECONDS)
    return _result(row, is_being_paid=False)


def extend_hold(*, user_id: UUID, reservation_id: UUID) -> Hold:
    """Gives the buyer RESERVATION_SECONDS from now on, within the limit that payments and extensions share.

    Nothing changes if there is so much time already. Raises ReservationNotFound, AlreadyExpired, AlreadyCancelled,
    PaidTwice or HoldLimitReached.
    """
    row = _move(
        _EXTEND,
        reservation_id=reservation_id,
        user_id=user_id,
        reservation_seconds=settings.RESERVATION_SECONDS,
    )
    target = row["target"]
    if _is_held(target) and not row["is_moved"] and row["was"] >= row["latest"]:
        raise HoldLimitReached
    if target["status"] == Status.CANCELLED:
        raise AlreadyCancelled
    if target["status"] != Status.CONFIRMED and not _is_held(target):
        raise AlreadyExpired
    return _result(row, is_being_paid=target["began_at"] is not None)


def _move(statement: str, **parameters: Any) -> dict[str, Any]:
    row = fetch_one(statement, {**parameters, "hold_max_seconds": settings.HOLD_MAX_SECONDS})
    if row["target"] is None:
        raise ReservationNotFound
    return row


def _is_held(target: dict[str, Any]) -> bool:
    return why_not_payable(target) is None


def _result(row: dict[str, Any], *, is_being_paid: bool) -> Hold:
    target = row["target"]
    if (refusal := why_not_payable(target)) is not None:
        refusal.reservation_status = status_now(target)
        raise refusal
    return Hold(
        reservation_id=UUID(target["id"]),
        number=target["reservation_number"],
        total_amount=target["total_amount"],
        expires_at=row["deadline"] or row["was"],
        latest=row["latest"],
        is_being_paid=is_being_paid,
    )
