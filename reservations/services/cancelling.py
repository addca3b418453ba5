"""Cancelling an event, and every reservation of it."""

import logging
from uuid import UUID

from events.errors import EventNotFound
from kernel.db.sql import after_commit, fetch_all, fetch_one
from reservations.services.releasing import release_event
from seats.services import status_was_changed

BATCH = 500

logger = logging.getLogger(__name__)

_CANCEL = """
WITH target AS MATERIALIZED (SELECT id, status FROM events WHERE id = %(event_id)s FOR NO KEY UPDATE),
cancelled AS (
    UPDATE events e SET status = 'cancelled', updated_at = now() FROM target t WHERE e.id = t.id AND t.status <> 'cancelled'
    RETURNING nextval('change_number') AS change
)
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
    """Cancels the live reservations of cancelled events. Returns how many."""
    return sum(_release_all(event["id"]) for event in fetch_all(_CANCELLED_WITH_SALES, {}))


def _release_all(event_id: UUID) -> int:
    total, left = 0, list[UUID]()
    while (released := release_event(event_id=event_id, limit=BATCH, leave_out=left)).targets:
        total += released.ended
        left += released.held_back
    if left:
        logger.error("reservations of the cancelled event %s with a seat in another state are left: %s", event_id, left)
    return total
