"""Cancelling an event, and every reservation of it."""

from uuid import UUID

from django.db import DatabaseError

from events.errors import EventNotFound
from kernel.db.sql import after_commit, fetch_all, fetch_one
from kernel.tasks.batches import Batch, is_outage
from outbox import sql as outbox
from outbox.models import MessageKind
from reservations.errors import SeatStatusDiffers
from reservations.services.releasing import live_reservations, release_event, release_one
from seats.services import status_was_changed

BATCH = 500
_batch: Batch[UUID] = Batch("release_cancelled_events")

_CANCELLED = outbox.record(
    "cancelled e",
    kinds=outbox.kinds(MessageKind.EVENT_STATUS_CHANGED, MessageKind.EVENT_CANCELLED),
    subject="e.id",
    event="e.id",
    data=outbox.status_data("e"),
)

_CANCEL = f"""
WITH target AS MATERIALIZED (SELECT id, status FROM events WHERE id = %(event_id)s FOR NO KEY UPDATE),
cancelled AS (
    UPDATE events e SET status = 'cancelled', updated_at = now() FROM target t WHERE e.id = t.id AND t.status <> 'cancelled'
    RETURNING e.id, e.status, t.status AS was, nextval('change_number') AS change
),
{_CANCELLED}
SELECT EXISTS (SELECT FROM target) AS found, (SELECT change FROM cancelled) AS change
"""

_CANCELLED_WITH_SALES = """
SELECT e.id FROM events e WHERE e.status = 'cancelled' AND EXISTS (
    SELECT FROM reservations r WHERE r.event_id = e.id AND r.status IN ('pending', 'confirmed')
)
"""


def cancel_event(*, event_id: UUID) -> int:
    """Cancels the event and every reservation of it. Returns how many reservations ended. Idempotent. Raises EventNotFound.

    For paid reservations a refund is due from then on (`refund_due_at`). Those past their deadline have expired.
    """
    # First the event, so that nothing more is reserved, then the reservations in batches. A reservation that was being made
    # is left to `release_cancelled_events`, and so is the rest when this process is killed.
    event = fetch_one(_CANCEL, {"event_id": event_id})
    if not event["found"]:
        raise EventNotFound
    if event["change"] is not None:
        after_commit(status_was_changed, event_id=event_id, status="cancelled", change=event["change"])
    return _release_all(event_id)


def release_cancelled_events() -> int:
    """Cancels the live reservations of cancelled events. Returns how many. One that fails does not stop the others."""
    return sum(_release_all(event["id"]) for event in fetch_all(_CANCELLED_WITH_SALES, {}))


def _release_all(event_id: UUID) -> int:
    total = 0
    while ended := _release_batch(event_id):
        total += ended
    return total


def _release_batch(event_id: UUID) -> int:
    left_out = _batch.left_out
    try:
        released = release_event(event_id=event_id, limit=BATCH, leave_out=left_out)
    except DatabaseError as error:
        if is_outage(error):
            raise
        live = live_reservations(event_id=event_id, limit=BATCH, leave_out=left_out)
        return _batch.run(live, release_one)
    for reservation_id in released.held_back:
        _batch.pass_over(reservation_id, SeatStatusDiffers())
    return released.ended
