"""Ending reservations and releasing what they hold: cancelled, refunded, or past their deadline."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings

from kernel.db.sql import after_commit, fetch_all, fetch_one
from kernel.errors import DomainError
from outbox import sql as outbox
from outbox.models import MessageKind
from reservations import effects
from reservations.errors import (
    AlreadyCancelled,
    AlreadyExpired,
    AlreadyPaid,
    CancellationClosed,
    NothingToCancel,
    NotPaid,
    PaymentInProgress,
    ReservationNotFound,
    SeatStatusDiffers,
)
from reservations.models import Refund, Reservation
from reservations.selectors import IS_BEING_PAID, IS_CANCELLABLE, IS_OVERDUE
from reservations.services import offering

PaymentStatus = Reservation.PaymentStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The result of one statement: the reservations it considered, as they were before, and how many of them it ended.

    `held_back` are those that it left as they are, because one of their seats is in a state that is not theirs.
    """

    targets: list[dict[str, Any]]
    ended: int
    held_back: list[UUID]


def restocked(returned: str) -> str:
    """The CTEs that return stock. `returned` is SQL of `ticket_type_id` and `quantity`, a row for each type."""
    # Stock that would rise above its total raises the total: a ticket that was reserved exists. Only rows that others have
    # written can be so (docs/adr/0005). It is computed from the row as it is after the wait, as in `reserving_tickets`.
    return f"""returned_stock AS MATERIALIZED (
    SELECT t.id, t.total_quantity, t.available_quantity + returned.quantity AS available_quantity
    FROM ticket_types t JOIN ({returned}) returned ON returned.ticket_type_id = t.id
    ORDER BY t.id FOR UPDATE OF t
),
restocked AS (
    UPDATE ticket_types t SET available_quantity = r.available_quantity,
        total_quantity = greatest(r.total_quantity, r.available_quantity), updated_at = now()
    FROM returned_stock r WHERE t.id = r.id
    RETURNING t.id, t.event_id, t.available_quantity, t.total_quantity, nextval('change_number') AS change
)"""


def _end(
    target: str,
    *,
    status: str = "%(status)s",
    payment_status: str = "%(payment_status)s",
    refund_due_at: str = "NULL",
    is_refunded: bool = False,
    also: str = "",
) -> str:
    """The statement that ends reservations and releases their seats and stock. `target` selects and locks them.

    Its columns are `id`, `status`, `may_end` and what the caller needs. `is_refunded`: the money of paid ones has been
    given back already. Otherwise a refund is due. `also` are further CTEs.
    """
    # `item` locks the items, so that after the wait for a reservation whose seats were swapped, or which was confirmed late,
    # it has those of now. `is_live` is not asked: it would be that of before the wait, and all items of a live reservation
    # are live.
    # A seat that is not in the state that its reservation's status implies is somebody else's affair: a writer that knows
    # another truth has sold or unsold it. Releasing it could sell it twice, so the reservation stays as it is.
    return f"""
WITH target AS MATERIALIZED ({target}),
item AS MATERIALIZED (
    SELECT i.reservation_id, i.seat_id, i.ticket_type_id, i.quantity,
           CASE t.status WHEN 'confirmed' THEN 'sold' ELSE 'locked' END AS seat_status
    FROM reservation_items i JOIN target t ON t.id = i.reservation_id WHERE t.may_end ORDER BY i.id FOR UPDATE OF i
),
locked_seat AS MATERIALIZED (
    SELECT s.id, s.status FROM seats s WHERE s.id IN (SELECT seat_id FROM item) ORDER BY s.id FOR UPDATE
),
held_back AS MATERIALIZED (
    SELECT DISTINCT item.reservation_id AS id FROM item JOIN locked_seat l ON l.id = item.seat_id
    WHERE l.status NOT IN ('available', item.seat_status)
),
ended AS (
    UPDATE reservations r SET status = {status}, payment_status = {payment_status},
        refund_due_at = {refund_due_at}, updated_at = now()
    FROM target t WHERE r.id = t.id AND t.may_end AND t.id NOT IN (SELECT id FROM held_back)
    RETURNING r.*, t.status AS was
),
refund AS (
    INSERT INTO refunds (reservation_id, payment_id, amount, reason, done_at)
    SELECT id, payment_id, total_amount, %(refund_reason)s::text, {"now()" if is_refunded else "NULL"} FROM ended
    WHERE was = 'confirmed' AND total_amount > 0
    RETURNING id, reservation_id, payment_id, amount, reason
),
{also}
released AS (
    UPDATE seats s SET status = 'available', updated_at = now() FROM locked_seat l, item, ended
    WHERE s.id = l.id AND item.seat_id = l.id AND ended.id = item.reservation_id AND l.status <> 'available'
    RETURNING s.id, s.event_id, nextval('change_number') AS change
),
{
        restocked(
            "SELECT ticket_type_id, sum(quantity) AS quantity FROM item JOIN ended ON ended.id = item.reservation_id"
            " GROUP BY 1"
        )
    },
{_ended_messages(is_refunded=is_refunded)},
{
        offering.released(
            seats="released",
            types="restocked",
            after=("ended", "outbox", "outbox_settled") if is_refunded else ("ended", "outbox"),
        )
    }
SELECT (SELECT jsonb_agg(to_jsonb(target)) FROM target) AS targets, (SELECT count(*) FROM ended) AS ended,
       (SELECT jsonb_agg(id) FROM held_back) AS held_back,
       (SELECT jsonb_agg(to_jsonb(released)) FROM released) AS seats,
       (SELECT jsonb_agg(to_jsonb(restocked)) FROM restocked) AS stock, {offering.OFFERS}
"""


def _ended_messages(*, is_refunded: bool) -> str:
    money = MessageKind.RESERVATION_REFUNDED if is_refunded else MessageKind.RESERVATION_REFUND_DUE
    return outbox.record(
        "ended r LEFT JOIN refund f ON f.reservation_id = r.id",
        kinds=outbox.kinds(
            outbox.kind_if(MessageKind.RESERVATION_EXPIRED, "r.status = 'expired'"),
            outbox.kind_if(MessageKind.RESERVATION_CANCELLED, "r.status = 'cancelled'"),
            outbox.kind_if(money, "f.id IS NOT NULL"),
        ),
        subject="r.id",
        event="r.event_id",
        data=outbox.reservation_data(
            "r",
            items=outbox.items_of("r.id"),
            more=f"{outbox.refund_data('f')} || jsonb_build_object('reason', %(reason)s::text)",
        ),
    )


def _of_buyer(paid_may_end: str) -> str:
    """A buyer's own reservation: as long as it is a hold; when it is paid, only if `paid_may_end`."""
    return _end(f"""
    SELECT id, event_id, status, is_overdue, is_being_paid,
           (status = 'confirmed' AND paid_may_end)
           OR (status = 'pending' AND NOT is_overdue AND NOT is_being_paid) AS may_end
    FROM (
        SELECT id, event_id, status, {IS_OVERDUE} AS is_overdue, {IS_BEING_PAID} AS is_being_paid,
               {paid_may_end} AS paid_may_end
        FROM reservations WHERE id = %(reservation_id)s AND user_id = %(user_id)s FOR UPDATE
    ) found
""")


_CANCEL = _of_buyer(f"%(is_by_staff)s OR {IS_CANCELLABLE}")

# An offer that its buyer does not want. A paid one is no offer any more.
_DECLINE = _of_buyer("false")

_SETTLED = outbox.record(
    "done f JOIN target r ON r.id = f.reservation_id",
    kinds=outbox.kinds(MessageKind.RESERVATION_REFUNDED),
    subject="r.id",
    event="r.event_id",
    data=outbox.reservation_data(
        "r",
        items=outbox.items_of("r.id"),
        more=f"""{outbox.refund_data("f")} || coalesce((
            SELECT jsonb_build_object('status', status, 'paymentStatus', payment_status)
            FROM (SELECT status, payment_status FROM ended UNION ALL SELECT status, payment_status FROM settled) changed
        ), '{{}}')""",
    ),
    name="outbox_settled",
)

# The payment service has given back all that the reservation's payment has paid. What was due of it is done, unless the
# reservation is held back.
_REFUND = _end(
    """
    SELECT *, status = 'confirmed' AS may_end FROM reservations WHERE id = %(reservation_id)s FOR UPDATE
""",
    is_refunded=True,
    also=f"""done AS (
    UPDATE refunds f SET done_at = now() FROM target t WHERE f.reservation_id = t.id
        AND f.payment_id IS NOT DISTINCT FROM t.payment_id AND f.done_at IS NULL
        AND (t.status = 'cancelled' OR EXISTS (SELECT FROM ended))
    RETURNING f.*
),
settled AS (
    UPDATE reservations r SET payment_status = %(payment_status)s, refund_due_at = NULL, updated_at = now() FROM target t
    WHERE r.id = t.id AND t.status = 'cancelled' AND t.payment_status = 'completed'
    RETURNING r.status, r.payment_status
),
{_SETTLED},""",
)

_LIVE_OF_EVENT = """
    FROM reservations
    WHERE event_id = %(event_id)s AND status IN ('pending', 'confirmed') AND id <> ALL(%(leave_out)s::uuid[])
    ORDER BY id LIMIT %(limit)s"""
# Paid ones keep their payment status until the payment service has refunded them. Overdue ones have expired.
_RELEASE_EVENT, _RELEASE_ONE = (
    _end(
        f"SELECT id, status, {IS_OVERDUE} AS is_overdue, {target} FOR UPDATE",
        status="CASE WHEN t.is_overdue THEN 'expired' ELSE %(status)s END",
        payment_status="""CASE WHEN t.is_overdue THEN 'failed' WHEN t.status = 'confirmed' THEN r.payment_status
            ELSE %(payment_status)s END""",
        refund_due_at="CASE t.status WHEN 'confirmed' THEN now() END",
    )
    for target in (
        f"true AS may_end {_LIVE_OF_EVENT}",
        "status IN ('pending', 'confirmed') AS may_end FROM reservations WHERE id = %(reservation_id)s",
    )
)

_DUE = """
    FROM reservations WHERE status = 'pending' AND deadline <= now() AND id <> ALL(%(leave_out)s::uuid[])
    ORDER BY deadline, id LIMIT %(limit)s
"""
_EXPIRE_DUE = _end(f"SELECT id, status, true AS may_end {_DUE} FOR UPDATE SKIP LOCKED")
_EXPIRE_ONE = _end("""
    SELECT id, status, true AS may_end FROM reservations
    WHERE id = %(reservation_id)s AND status = 'pending' AND deadline <= now() FOR UPDATE SKIP LOCKED
""")

# Both wait for a payment of one of them that is being processed, and then spare that one: its status is read again.
_EXPIRE_HOLDERS = _end("""
    SELECT id, status, true AS may_end FROM reservations WHERE status = 'pending' AND deadline <= now() AND id IN (
        SELECT reservation_id FROM reservation_items
        WHERE is_live AND (seat_id = ANY(%(seat_ids)s::uuid[]) OR ticket_type_id = ANY(%(ticket_type_ids)s::uuid[]))
        UNION ALL SELECT id FROM reservations
        WHERE user_id = %(user_id)s::uuid AND event_id = %(event_id)s::uuid AND status = 'pending'
    ) ORDER BY id FOR UPDATE
""")
_EXPIRE_HOLDERS_OF_EVENT = _end("""
    SELECT id, status, true AS may_end FROM reservations
    WHERE status = 'pending' AND deadline <= now() AND event_id = %(event_id)s ORDER BY id FOR UPDATE
""")

_EXPIRED = {
    "status": Reservation.Status.EXPIRED.value,
    "payment_status": Reservation.PaymentStatus.FAILED.value,
    "refund_reason": None,  # of the unpaid, nothing is refunded
}


def _cancelled(reason: Refund.Reason) -> dict[str, Any]:
    return {
        "status": Reservation.Status.CANCELLED.value,
        # Also of reservations that were never paid: recorded so, and clients show it.
        "payment_status": Reservation.PaymentStatus.REFUNDED.value,
        "refund_reason": reason.value,
    }


def cancel_reservation(*, user_id: UUID, reservation_id: UUID, is_by_staff: bool = False) -> None:
    """Cancels a buyer's reservation, paid or not; for a paid one a refund is due. Staff may do so after the deadline, too.

    Raises NothingToCancel, AlreadyCancelled, AlreadyExpired (also before the sweep has ended it), PaymentInProgress,
    CancellationClosed or SeatStatusDiffers.
    """
    wanted = {
        "user_id": user_id,
        "reservation_id": reservation_id,
        "is_by_staff": is_by_staff,
        "cancellation_hours": settings.CANCELLATION_HOURS,
    }
    cause = _cancelled(Refund.Reason.ORGANISER if is_by_staff else Refund.Reason.BUYER)
    released = _release_one(_CANCEL, {**cause, **wanted}, reason="cancelled")
    if released.ended:
        if event_id := released.targets[0]["event_id"]:
            after_commit(effects.reservation_was_cancelled, event_id=UUID(event_id), user_id=user_id)
        return
    if not released.targets:
        raise NothingToCancel
    raise why_not_cancelled(released.targets[0])


def decline_offer(*, user_id: UUID, reservation_id: UUID) -> None:
    """Ends an offer to this buyer. One that has ended meanwhile stays as it is.

    Raises NothingToCancel, AlreadyExpired, AlreadyPaid, PaymentInProgress or SeatStatusDiffers.
    """
    wanted = {"user_id": user_id, "reservation_id": reservation_id}
    released = _release_one(_DECLINE, {**_cancelled(Refund.Reason.BUYER), **wanted}, reason="cancelled")
    if released.ended:
        return
    if not released.targets:
        raise NothingToCancel
    was = released.targets[0]
    if was["status"] == Reservation.Status.CONFIRMED:
        raise AlreadyPaid
    if was["status"] != Reservation.Status.CANCELLED:
        raise why_not_cancelled(was)


def why_not_cancelled(was: Mapping[str, Any]) -> DomainError:
    """Why a reservation that is {status, is_overdue, is_being_paid} was not cancelled."""
    if was["is_overdue"] or was["status"] == Reservation.Status.EXPIRED:
        return AlreadyExpired()
    if was["status"] == Reservation.Status.CANCELLED:
        return AlreadyCancelled()
    return PaymentInProgress() if was["is_being_paid"] else CancellationClosed()


def refund_reservation(*, reservation_id: UUID, is_by_staff: bool = False) -> None:
    """Cancels a reservation that was refunded, and settles what was due of its payment. Idempotent.

    Raises ReservationNotFound, NotPaid or SeatStatusDiffers.
    """
    cause = _cancelled(Refund.Reason.ORGANISER if is_by_staff else Refund.Reason.PAYMENT_SERVICE)
    released = _release_one(_REFUND, {**cause, "reservation_id": reservation_id}, reason="refunded")
    if released.ended:
        return
    if not released.targets:
        raise ReservationNotFound
    was = released.targets[0]
    was_due = was["status"] == Reservation.Status.CANCELLED and was["payment_status"] == PaymentStatus.COMPLETED
    was_refunded = was["payment_id"] is not None and was["payment_status"] == PaymentStatus.REFUNDED
    if not was_due and not was_refunded:
        raise NotPaid


def release_event(*, event_id: UUID, limit: int, leave_out: Sequence[UUID]) -> Released:
    """Ends up to `limit` reservations of an event: overdue ones have expired, the others are cancelled."""
    wanted = {"event_id": event_id, "limit": limit, "leave_out": list(leave_out)}
    return _release(_RELEASE_EVENT, {**_cancelled(Refund.Reason.EVENT_CANCELLED), **wanted}, reason="event_cancelled")


def release_one(reservation_id: UUID) -> int:
    """The same for one reservation. Returns 0 if it has ended already. Raises SeatStatusDiffers."""
    wanted = {"reservation_id": reservation_id}
    return _release_one(
        _RELEASE_ONE, {**_cancelled(Refund.Reason.EVENT_CANCELLED), **wanted}, reason="event_cancelled"
    ).ended


def live_reservations(*, event_id: UUID, limit: int, leave_out: Sequence[UUID]) -> list[UUID]:
    """The reservations that `release_event` would end."""
    wanted = {"event_id": event_id, "limit": limit, "leave_out": list(leave_out)}
    return [row["id"] for row in fetch_all(f"SELECT id {_LIVE_OF_EVENT}", wanted)]


def expire_due(*, limit: int, leave_out: Sequence[UUID] = ()) -> int:
    """Expires up to `limit` reservations past their deadline, but for those whose rows are locked. Returns how many.

    Safe at once in many processes: they share the work.
    """
    return expire_batch(limit=limit, leave_out=leave_out).ended


def expire_batch(*, limit: int, leave_out: Sequence[UUID]) -> Released:
    """`expire_due`, with what it has held back."""
    return _release(_EXPIRE_DUE, {**_EXPIRED, "limit": limit, "leave_out": list(leave_out)}, reason="expired")


def expire_one(reservation_id: UUID) -> int:
    """Expires one reservation. Returns 0 if it is not past its deadline, is held back, or its row is locked."""
    return _release(_EXPIRE_ONE, {**_EXPIRED, "reservation_id": reservation_id}, reason="expired").ended


def due_reservations(*, limit: int, leave_out: Sequence[UUID]) -> list[UUID]:
    """The reservations that `expire_due` would consider."""
    rows = fetch_all(f"SELECT id {_DUE}", {"limit": limit, "leave_out": list(leave_out)})
    return [row["id"] for row in rows]


def expire_holders(
    *,
    seat_ids: Sequence[UUID] = (),
    ticket_type_ids: Sequence[UUID] = (),
    user_id: UUID | None = None,
    event_id: UUID | None = None,
) -> int:
    """Expires holds past their deadline, so that the next buyer need not wait for a sweep.

    On these seats or ticket types, and those of a user in an event, which count against what the user may have.
    """
    wanted = {
        "seat_ids": list(seat_ids),
        "ticket_type_ids": list(ticket_type_ids),
        "user_id": user_id,
        "event_id": event_id,
    }
    return _release(_EXPIRE_HOLDERS, {**_EXPIRED, **wanted}, reason="expired").ended


def expire_holders_of_event(event_id: UUID) -> int:
    """The same for all holds of an event."""
    return _release(_EXPIRE_HOLDERS_OF_EVENT, {**_EXPIRED, "event_id": event_id}, reason="expired").ended


def _release_one(statement: str, parameters: dict[str, Any], *, reason: str) -> Released:
    """Raises SeatStatusDiffers if the reservation is held back."""
    released = _release(statement, parameters, reason=reason)
    if released.held_back:
        raise SeatStatusDiffers
    return released


def _release(statement: str, parameters: dict[str, Any], *, reason: str) -> Released:
    row = fetch_one(statement, {**parameters, **offering.parameters(), "reason": reason})
    publish_released(row)
    if row["ended"]:
        after_commit(effects.reservations_were_ended, reason=reason, count=row["ended"])
    held_back = [UUID(reservation_id) for reservation_id in row["held_back"] or ()]
    return Released(targets=row["targets"] or [], ended=row["ended"], held_back=held_back)


def publish_released(row: Mapping[str, Any]) -> None:
    """`row`: the `seats` {id, event_id, change} and the `stock` that are available again, and the `offers` of them."""
    offered = offering.offered_seats(row)
    for event_id, seats in _by_event(row["seats"]):
        changes = {UUID(seat["id"]): seat["change"] for seat in seats}
        if left := {seat_id: change for seat_id, change in changes.items() if seat_id not in offered}:
            after_commit(effects.seats_were_released, event_id=event_id, changes=left)
    for event_id, stock in _by_event(row["stock"]):
        after_commit(effects.stock_was_changed, event_id=event_id, stock=stock)
    offering.publish_offers(row)


def _by_event(rows: list[dict[str, Any]] | None) -> Iterable[tuple[UUID, list[dict[str, Any]]]]:
    grouped = defaultdict(list)
    for row in rows or ():
        grouped[UUID(row["event_id"])].append(row)
    return grouped.items()
