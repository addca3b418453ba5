"""The status of events: by the clock, and by what is left. `cancelled` and `ended` are never touched."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from kernel.db.sql import after_commit, fetch_all, fetch_one
from seats import effects
from seats.locks import pop_dirty_events


def _first_seat(such: str) -> str:
    """In the order of the index, so that it is used: PostgreSQL takes an event to have as many seats as events have on
    average, hopes to meet one soon, and reads the whole table for each event that has none.
    """
    return f"""(SELECT s.id FROM seats s WHERE s.event_id = e.id AND {such}
                ORDER BY s.section, s.row_number, s.seat_number LIMIT 1)"""


# Nothing is left: there were places, and all are taken. Held ones may come back, and then the status does, too.
_NOTHING_LEFT = f"""(
    ({_first_seat("true")} IS NOT NULL OR EXISTS (SELECT FROM ticket_types t WHERE t.event_id = e.id))
    AND {_first_seat("s.status = 'available'")} IS NULL
    AND NOT EXISTS (SELECT FROM ticket_types t WHERE t.event_id = e.id AND t.available_quantity > 0)
)"""


def _update(which: str) -> str:
    """The statement that puts right the status of the events that `which` selects."""
    return f"""
WITH candidate AS MATERIALIZED (
    SELECT e.id, e.status AS was, CASE
        WHEN e.sale_end_date <= now() OR e.event_date <= now() THEN 'ended'
        WHEN e.status = 'upcoming' AND e.sale_start_date > now() THEN 'upcoming'
        WHEN {_NOTHING_LEFT} THEN 'sold_out'
        ELSE 'on_sale' END AS becomes
    FROM events e WHERE e.status IN ('upcoming', 'on_sale', 'sold_out') AND {which}
    ORDER BY e.id FOR NO KEY UPDATE
)
UPDATE events e SET status = c.becomes, updated_at = now() FROM candidate c WHERE e.id = c.id AND c.becomes <> c.was
RETURNING e.id, e.status, nextval('change_number') AS change
"""


_UPDATE_ALL = _update("true")
_UPDATE_SOME = _update("e.id = ANY(%(event_ids)s::uuid[])")

_NEXT_CHANGE = """
SELECT min(moment) AS moment FROM (
    SELECT min(sale_start_date) AS moment FROM events WHERE status = 'upcoming' AND sale_start_date > now()
    UNION ALL
    SELECT min(least(sale_end_date, event_date)) FROM events
    WHERE status IN ('upcoming', 'on_sale', 'sold_out') AND least(sale_end_date, event_date) > now()
) AS moments
"""


def update_statuses() -> int:
    """Puts the status of every event right, and asks to be woken up at the next moment at which one changes.

    Returns how many have changed. Safe at any time, as often as anybody likes.
    """
    changed = _announced(fetch_all(_UPDATE_ALL, {}))
    moment: datetime | None = fetch_one(_NEXT_CHANGE, {})["moment"]
    if moment is not None:
        after_commit(effects.status_will_change, moment)
    return changed


def update_status_of(event_ids: Sequence[UUID]) -> int:
    """The same for events whose places have changed: sold out, or no longer."""
    return _announced(fetch_all(_UPDATE_SOME, {"event_ids": list(event_ids)})) if event_ids else 0


def update_status_of_dirty_events() -> int:
    """The same for the events whose places have changed since the last call."""
    return update_status_of(pop_dirty_events())


def _announced(changed: list[dict[str, Any]]) -> int:
    for event in changed:
        after_commit(effects.status_was_changed, event_id=event["id"], status=event["status"], change=event["change"])
    return len(changed)
