"""Saying that a refund is done. What is owed is recorded by the statements that end reservations and refuse payments."""

from typing import Any
from uuid import UUID

from kernel.db.sql import fetch_all
from outbox import sql as outbox
from outbox.models import MessageKind
from reservations.errors import RefundNotFound
from reservations.selectors import REFUND_COLUMNS

_REFUNDED = outbox.record(
    "done f, target r",
    kinds=outbox.kinds(MessageKind.RESERVATION_REFUNDED),
    subject="r.id",
    event="r.event_id",
    data=outbox.reservation_data(
        "r",
        items=outbox.items_of("r.id"),
        more=f"""{outbox.refund_data("f")} || coalesce(
            (SELECT jsonb_build_object('paymentStatus', payment_status) FROM settled), '{{}}'
        )""",
    ),
)

# A cancelled event's reservation is `completed` until its refund is done. It is locked first, as everywhere.
_SETTLE = f"""
WITH target AS MATERIALIZED (
    SELECT r.* FROM reservations r
    WHERE r.id = (SELECT reservation_id FROM refunds WHERE id = %(refund_id)s) FOR UPDATE
),
found AS MATERIALIZED (
    SELECT f.* FROM refunds f JOIN target t ON t.id = f.reservation_id WHERE f.id = %(refund_id)s FOR UPDATE OF f
),
done AS (
    UPDATE refunds f SET done_at = now() FROM found WHERE f.id = found.id AND found.done_at IS NULL RETURNING f.*
),
settled AS (
    UPDATE reservations r SET payment_status = 'refunded', refund_due_at = NULL, updated_at = now()
    FROM target t, found f, done WHERE r.id = t.id AND f.reason = 'event_cancelled'
        AND t.status = 'cancelled' AND t.payment_status = 'completed'
    RETURNING r.payment_status
),
{_REFUNDED}
SELECT {REFUND_COLUMNS}, coalesce(f.done_at, (SELECT done_at FROM done)) AS done_at
FROM found f JOIN reservations r ON r.id = f.reservation_id
"""


def settle_refund(*, refund_id: UUID) -> dict[str, Any]:
    """Records that the payment service has refunded this. Idempotent. Returns it as `selectors.refunds_due` does.

    Raises RefundNotFound.
    """
    rows = fetch_all(_SETTLE, {"refund_id": refund_id})
    if not rows:
        raise RefundNotFound
    return rows[0]
