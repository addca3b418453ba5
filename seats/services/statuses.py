"""Updating the status of events. It follows from the dates and from availability; only `cancelled` is final."""

from datetime import datetime
from typing import Any

from events.selectors import IS_OVER
from kernel.db.sql import after_commit, fetch_all, fetch_one
from seats import effects
from seats.publishing import pop_dirty_events


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


def _update(condition: str) -> str:
    """The statement that updates the status of the events that meet the condition."""
    # Events that are over, or not yet on sale, and say so, are not locked: most events are such.
    return f"""
WITH candidate AS MATERIALIZED (
    SELECT e.id, e.status AS was,
           coalesce({_BY_DATES}, CASE WHEN {_SOLD_OUT} THEN 'sold_out' ELSE 'on_sale' END) AS becomes
    FROM events e WHERE e.status <> 'cancelled' AND e.status IS DISTINCT FROM {_BY_DATES} AND {condition}
    ORDER BY e.id FOR NO KEY UPDATE
)
UPDATE events e SET status = c.becomes, updated_at = now() FROM candidate c WHERE e.id = c.id AND c.becomes <> c.was
RETURNING e.id, e.status, nextval('change_number') AS change
"""


_UPDATE_ALL = _update("true")
_UPDATE_SOME = _update("e.id = ANY(%(event_ids)s::uuid[])")

_NEXT_CHANGE = """
SELECT min(moment) AS moment FROM (
    SELECT min(sale_start_date) AS moment FROM events WHERE status <> 'cancelled' AND sale_start_date > now()
    UNION ALL
    SELECT min(least(sale_end_date, event_date)) FROM events
    WHERE status <> 'cancelled' AND least(sale_end_date, event_date) > now()
) AS moments
"""


def update_statuses() -> int:
    """Updates the status of every event, and schedules the next update. Returns how many have changed. Idempotent."""
    changed = _publish(fetch_all(_UPDATE_ALL, {}))
    moment: datetime | None = fetch_one(_NEXT_CHANGE, {})["moment"]
    if moment is not None:
        after_commit(effects.status_will_change, moment)
    return changed


def update_status_of_dirty_events() -> int:
    """Updates the status of the events whose seats or stock have changed since the last call. Returns how many."""
    event_ids = pop_dirty_events()
    return _publish(fetch_all(_UPDATE_SOME, {"event_ids": event_ids})) if event_ids else 0


def _publish(changed: list[dict[str, Any]]) -> int:
    for event in changed:
        after_commit(effects.status_was_changed, event_id=event["id"], status=event["status"], change=event["change"])
    return len(changed)
