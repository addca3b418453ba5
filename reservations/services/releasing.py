"""Ending reservations and releasing what they hold: cancelled, refunded, or past their deadline."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from kernel.db.sql import after_commit, fetch_all, fetch_one
from outbox import sql as outbox
from outbox.models import MessageKind
from reservations import effects
from reservations.errors import (
    AlreadyCancelled,
    AlreadyExpired,
    NothingToCancel,
    NotPaid,
    ReservationNotFound,
    SeatStatusDiffers,
)
from reservations.models import Reservation
from reservations.selectors import IS_OVERDUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The result of one statement: the reservations it considered, as they were before, and how many of them it ended.

    `held_back` are those that it left as they are, because one of their seats is in a state that is not theirs.
    """

    targets: list[dict[str, Any]]
    ended: int
    held_back: list[UUID]


def _end(
    target: str,
    *,
    status: str = "%(status)s",
    payment_status: str = "%(payment_status)s",
    refund_due_at: str = "NULL",
    is_refunded: bool = False,
) -> str:
    """The statement that ends reservations and releases their seats and stock. `target` selects and locks them.

    Its columns are `id`, `status`, `may_end` and what the caller needs. `is_refunded`: the money of paid ones has been
    returned already. Otherwise a refund is due.
    """
    # A seat that is not in the state that its reservation's status implies is somebody else's affair: a writer that knows
    # another truth has sold or unsold it. Releasing it could sell it twice, so the reservation stays as it is.
    # Stock that would rise above its total raises the total: a ticket that was reserved exists. Only rows that others have
    # written can be so (docs/adr/0005). It is computed from the row as it is after the wait, as in `reserving_tickets`.
    return f"""
WITH target AS MATERIALIZED ({target}),
item AS MATERIALIZED (
    SELECT i.reservation_id, i.seat_id, i.ticket_type_id, i.quantity,
           CASE t.status WHEN 'confirmed' THEN 'sold' ELSE 'locked' END AS seat_status
    FROM reservation_items i JOIN target t ON t.id = i.reservation_id WHERE t.may_end AND i.is_live
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
released AS (
    UPDATE seats s SET status = 'available', updated_at = now() FROM locked_seat l, item, ended
    WHERE s.id = l.id AND item.seat_id = l.id AND ended.id = item.reservation_id AND l.status <> 'available'
    RETURNING s.id, s.event_id, nextval('change_number') AS change
),
returned_stock AS MATERIALIZED (
    SELECT t.id, t.total_quantity, t.available_quantity + item.quantity AS available_quantity FROM ticket_types t JOIN (
        SELECT ticket_type_id, sum(quantity) AS quantity FROM item JOIN ended ON ended.id = item.reservation_id GROUP BY 1
    ) item ON item.ticket_type_id = t.id
    ORDER BY t.id FOR UPDATE OF t
),
restocked AS (
    UPDATE ticket_types t SET available_quantity = r.available_quantity,
        total_quantity = greatest(r.total_quantity, r.available_quantity), updated_at = now()
    FROM returned_stock r WHERE t.id = r.id
    RETURNING t.id, t.event_id, t.available_quantity, t.total_quantity, nextval('change_number') AS change
),
{_ended_messages(is_refunded=is_refunded)}
SELECT (SELECT jsonb_agg(to_jsonb(target)) FROM target) AS targets, (SELECT count(*) FROM ended) AS ended,
       (SELECT jsonb_agg(id) FROM held_back) AS held_back,
       (SELECT jsonb_agg(to_jsonb(released)) FROM released) AS seats,
       (SELECT jsonb_agg(to_jsonb(restocked)) FROM restocked) AS stock
"""


def _ended_messages(*, is_refunded: bool) -> str:
    money = MessageKind.RESERVATION_REFUNDED if is_refunded else MessageKind.RESERVATION_REFUND_DUE
    return outbox.record(
        "ended r",
        kinds=outbox.kinds(
            outbox.kind_if(MessageKind.RESERVATION_EXPIRED, "r.status = 'expired'"),
            outbox.kind_if(MessageKind.RESERVATION_CANCELLED, "r.status = 'cancelled'"),
            outbox.kind_if(money, "r.was = 'confirmed'"),
        ),
        subject="r.id",
        event="r.event_id",
        data=outbox.reservation_data(
            "r", items=outbox.items_of("r.id"), more="jsonb_build_object('reason', %(reason)s::text)"
        ),
    )


_CANCEL = _end(f"""
    SELECT id, event_id, status, {IS_OVERDUE} AS is_overdue,
           status IN ('pending', 'confirmed') AND NOT {IS_OVERDUE} AS may_end
    FROM reservations WHERE id = %(reservation_id)s AND user_id = %(user_id)s FOR UPDATE
""")

_REFUND = _end(
    """
    SELECT id, status, payment_status, payment_id, status = 'confirmed' AS may_end FROM reservations
    WHERE id = %(reservation_id)s FOR UPDATE
""",
    is_refunded=True,
)

_REFUNDED = outbox.record(
    "refunded r",
    kinds=outbox.kinds(MessageKind.RESERVATION_REFUNDED),
    subject="r.id",
    event="r.event_id",
    data=outbox.reservation_data(
        "r", items=outbox.items_of("r.id"), more="jsonb_build_object('reason', 'event_cancelled')"
    ),
)

# Its event was cancelled before, and everything is released already.
_REFUND_CANCELLED = f"""
WITH refunded AS (
    UPDATE reservations SET payment_status = 'refunded', refund_due_at = NULL, updated_at = now()
    WHERE id = %(reservation_id)s AND status = 'cancelled' AND payment_status = 'completed'
    RETURNING *
),
{_REFUNDED}
SELECT id FROM refunded
"""

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
    ) ORDER BY id FOR UPDATE
""")
_EXPIRE_HOLDERS_OF_EVENT = _end("""
    SELECT id, status, true AS may_end FROM reservations
    WHERE status = 'pending' AND deadline <= now() AND event_id = %(event_id)s ORDER BY id FOR UPDATE
""")

_EXPIRED = {"status": Reservation.Status.EXPIRED.value, "payment_status": Reservation.PaymentStatus.FAILED.value}
# Also for reservations that were never paid: recorded so, and clients show it.
_CANCELLED = {"status": Reservation.Status.CANCELLED.value, "payment_status": Reservation.PaymentStatus.REFUNDED.value}


def cancel_reservation(*, user_id: UUID, reservation_id: UUID) -> None:
    """Cancels a buyer's reservation, paid or not.

    Raises NothingToCancel, AlreadyCancelled, AlreadyExpired (also before the sweep has ended it) or SeatStatusDiffers.
    """
    released = _release_one(
        _CANCEL, {**_CANCELLED, "user_id": user_id, "reservation_id": reservation_id}, reason="cancelled"
    )
    if released.ended:
        if event_id := released.targets[0]["event_id"]:
            after_commit(effects.reservation_was_cancelled, event_id=UUID(event_id), user_id=user_id)
        return
    if not released.targets:
        raise NothingToCancel
    was = released.targets[0]
    raise AlreadyExpired if was["is_overdue"] or was["status"] == Reservation.Status.EXPIRED else AlreadyCancelled


def refund_reservation(*, reservation_id: UUID) -> None:
    """Cancels a reservation that the payment service has refunded. Idempotent.

    Raises ReservationNotFound, NotPaid or SeatStatusDiffers.
    """
    released = _release_one(_REFUND, {**_CANCELLED, "reservation_id": reservation_id}, reason="refunded")
    if released.ended:
        return
    if not released.targets:
        raise ReservationNotFound
    was = released.targets[0]
    if was["status"] == Reservation.Status.CANCELLED and was["payment_status"] == Reservation.PaymentStatus.COMPLETED:
        fetch_all(_REFUND_CANCELLED, {"reservation_id": reservation_id})
        return
    if was["payment_id"] is None or was["payment_status"] != Reservation.PaymentStatus.REFUNDED:
        raise NotPaid


def release_event(*, event_id: UUID, limit: int, leave_out: Sequence[UUID]) -> Released:
    """Ends up to `limit` reservations of an event: overdue ones have expired, the others are cancelled."""
    wanted = {"event_id": event_id, "limit": limit, "leave_out": list(leave_out)}
    return _release(_RELEASE_EVENT, {**_CANCELLED, **wanted}, reason="event_cancelled")


def release_one(reservation_id: UUID) -> int:
    """The same for one reservation. Returns 0 if it has ended already. Raises SeatStatusDiffers."""
    wanted = {"reservation_id": reservation_id}
    return _release_one(_RELEASE_ONE, {**_CANCELLED, **wanted}, reason="event_cancelled").ended


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


def expire_holders(*, seat_ids: Sequence[UUID] = (), ticket_type_ids: Sequence[UUID] = ()) -> int:
    """Expires holds past their deadline on these seats or ticket types, so that the next buyer need not wait for a sweep."""
    wanted = {"seat_ids": list(seat_ids), "ticket_type_ids": list(ticket_type_ids)}
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
    row = fetch_one(statement, {**parameters, "reason": reason})
    for event_id, seats in _by_event(row["seats"]):
        changes = {UUID(seat["id"]): seat["change"] for seat in seats}
        after_commit(effects.seats_were_released, event_id=event_id, changes=changes)
    for event_id, stock in _by_event(row["stock"]):
        after_commit(effects.stock_was_changed, event_id=event_id, stock=stock)
    if row["ended"]:
        after_commit(effects.reservations_were_ended, reason=reason, count=row["ended"])
    held_back = [UUID(reservation_id) for reservation_id in row["held_back"] or ()]
    return Released(targets=row["targets"] or [], ended=row["ended"], held_back=held_back)


def _by_event(rows: list[dict[str, Any]] | None) -> Iterable[tuple[UUID, list[dict[str, Any]]]]:
    grouped = defaultdict(list)
    for row in rows or ():
        grouped[UUID(row["event_id"])].append(row)
    return grouped.items()
