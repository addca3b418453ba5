"""Updating the status of events. It follows from the dates and from availability; only `cancelled` is final."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import DatabaseError

from events.selectors import IS_OVER
from kernel.db.sql import after_commit, fetch_all, fetch_one
from kernel.tasks.batches import Batch, is_outage
from outbox import sql as outbox
from outbox.models import MessageKind
from seats import effects
from seats.publishing import mark_dirty_events, pop_dirty_events

MAX_SECONDS_OF_DIRTY = 5.0  # the sweep waits for it, and the rest is updated within a minute


def _first_seat(condition: str) -> str:
    # The order makes PostgreSQL use the index. Its planner expects each event to have an average number of seats and to
    # meet one soon, and would read the whole table for every event that has none.
    return f"""(SELECT s.id FROM seats s WHERE s.event_id = e.id AND {condition}
                ORDER BY s.section, s.row_number, s.seat_number LIMIT 1)"""


# The event has seats or tickets, and none is available. When a hold ends, some are again, and the event is back on sale.
_SOLD_OUT = f"""(
    ({_first_seat("true")} IS NOT NULL OR EXISTS (SELECT FROM ticket_types t WHERE t.event_id = e.id))
    AND {_first_seat("s.status = 'available'")} IS NULL
    AND NOT EXISTS (SELECT FROM ticket_types t WHERE t.event_id = e.id AND t.available_quantity > 0)
)"""


# By the dates alone. NULL while the event is on sale: then availability decides.
_BY_DATES = f"CASE WHEN {IS_OVER} THEN 'ended' WHEN e.sale_start_date > now() THEN 'upcoming' END"


_STATUS_MESSAGES = outbox.record(
    "updated e",
    kinds=outbox.kinds(
        MessageKind.EVENT_STATUS_CHANGED, outbox.kind_if(MessageKind.EVENT_SOLD_OUT, "e.status = 'sold_out'")
    ),
    subject="e.id",
    event="e.id",
    data=outbox.status_data("e"),
)


def _update(condition: str) -> str:
    """The statement that updates the status of the events that meet the condition.

    A row {id, status, change} for each change; {id, None, None} for each event that somebody else is changing.
    """
    # Events that are over, or not yet on sale, and say so, are not locked: most events are such.
    return f"""
WITH outdated AS MATERIALIZED (
    SELECT e.id FROM events e WHERE e.status <> 'cancelled' AND e.status IS DISTINCT FROM {_BY_DATES} AND {condition}
),
candidate AS MATERIALIZED (
    SELECT e.id, e.status AS was,
           coalesce({_BY_DATES}, CASE WHEN {_SOLD_OUT} THEN 'sold_out' ELSE 'on_sale' END) AS becomes
    FROM events e WHERE e.id IN (SELECT id FROM outdated) AND e.status <> 'cancelled'
    ORDER BY e.id FOR NO KEY UPDATE SKIP LOCKED
),
updated AS (
    UPDATE events e SET status = c.becomes, updated_at = now() FROM candidate c WHERE e.id = c.id AND c.becomes <> c.was
    RETURNING e.id, e.status, c.was, nextval('change_number') AS change
),
{_STATUS_MESSAGES}
SELECT id, status, change FROM updated
UNION ALL SELECT id, NULL, NULL FROM outdated WHERE id NOT IN (SELECT id FROM candidate)
"""


_UPDATE_ALL = _update("e.id <> ALL(%(leave_out)s::uuid[])")
_UPDATE_SOME = _update("e.id = ANY(%(event_ids)s::uuid[])")
_IDS = "SELECT id FROM events WHERE status <> 'cancelled' ORDER BY id"

_batch: Batch[UUID] = Batch("update_statuses")

_NEXT_CHANGE = """
SELECT min(moment) AS moment FROM (
    SELECT min(sale_start_date) AS moment FROM events WHERE status <> 'cancelled' AND sale_start_date > now()
    UNION ALL
    SELECT min(least(sale_end_date, event_date)) FROM events
    WHERE status <> 'cancelled' AND least(sale_end_date, event_date) > now()
) AS moments
"""


def update_statuses() -> int:
    """Updates the status of every event, and schedules the next update. Returns how many have changed. Idempotent.

    An event whose status cannot be updated does not stop the others. One that somebody else is changing is left to the next
    sweep.
    """
    try:
        changed = _publish(fetch_all(_UPDATE_ALL, {"leave_out": _batch.left_out}))
    except DatabaseError as error:
        if is_outage(error):
            raise
        changed = _batch.run([event["id"] for event in fetch_all(_IDS, {})], _update_one)
    moment: datetime | None = fetch_one(_NEXT_CHANGE, {})["moment"]
    if moment is not None:
        after_commit(effects.status_will_change, moment)
    return changed


def update_status_of_dirty_events() -> int:
    """Updates the status of the events whose seats or stock have changed since the last call. Returns how many."""
    event_ids = pop_dirty_events()
    if not event_ids:
        return 0
    try:
        return _publish(fetch_all(_UPDATE_SOME, {"event_ids": event_ids}))
    except DatabaseError as error:
        if is_outage(error):
            raise
        return _batch.run(event_ids, _update_one, seconds=MAX_SECONDS_OF_DIRTY)


def _update_one(event_id: UUID) -> int:
    return _publish(fetch_all(_UPDATE_SOME, {"event_ids": [event_id]}))


def _publish(rows: list[dict[str, Any]]) -> int:
    """What has changed; what somebody else is changing is marked for the next sweep."""
    changed = [event for event in rows if event["status"] is not None]
    for event in changed:
        after_commit(effects.status_was_changed, event_id=event["id"], status=event["status"], change=event["change"])
    if len(changed) < len(rows):
        after_commit(mark_dirty_events, [event["id"] for event in rows if event["status"] is None])
    return len(changed)
