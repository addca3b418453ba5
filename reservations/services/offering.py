"""Offering places to those who wait for them: parts of the statements that release places, and of those that give them.

An offer is a pending reservation for OFFER_SECONDS. The function `offer_places` (migration 0008) makes it, for the first in
order whom the places suit and who may have them. Not taken, it ends as every hold does, and that statement makes the next.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from events.selectors import IS_ON_SALE
from kernel.db.sql import after_commit, fetch_all, fetch_one
from outbox import sql as outbox
from outbox.models import MessageKind
from reservations import effects

# Columns of an event `e`, for the CTE `event`.
EVENT_COLUMNS = "e.id, e.has_waitlist"

# Whether somebody waits for an event `e`; cheap for one without a waiting list.
IS_WAITED_FOR = (
    "(e.has_waitlist AND EXISTS (SELECT FROM waitlist_entries w WHERE w.event_id = e.id AND w.status = 'waiting'))"
)


def released(*, seats: str | None, types: str | None, after: Sequence[str], name: str = "offered") -> str:
    """The CTE that offers what the statement has released, and the one that records it.

    `seats` and `types` are CTEs of `id` and `event_id`, `after` those that must be complete: whatever writes the same rows,
    or reads them as they were.
    """
    # Whether somebody waits is left to the function: it sees also those who have joined since the statement began.
    sources = [one for one in (seats, types) if one is not None]
    events = " UNION ALL ".join(f"SELECT event_id FROM {one}" for one in sources)
    complete = " AND ".join(f"(SELECT count(*) FROM {one}) IS NOT NULL" for one in after)

    def ids(source: str | None) -> str:
        return f"ARRAY(SELECT id FROM {source} WHERE event_id = e.id)" if source else "'{}'"

    return f"""{name} AS MATERIALIZED (
    SELECT o.* FROM (
        SELECT e.id FROM events e WHERE e.id IN ({events}) AND e.has_waitlist AND {IS_ON_SALE} ORDER BY e.id
    ) e CROSS JOIN LATERAL offer_places(e.id, {ids(seats)}, {ids(types)}, %(offer_terms)s::jsonb) o
    WHERE {complete}
),
{_recorded(name)}"""


def asked_for(
    *,
    seats: str = "'{}'",
    types: str = "'{}'",
    condition: str = "true",
    event: str = "event e",
    only_if: str = IS_WAITED_FOR,
) -> str:
    """The CTE `offered` of a statement that gives places to somebody: those who wait for them come first, whoever asks.

    `seats` and `types` are arrays of ids, whose rows the statement has locked, `event` has EVENT_COLUMNS and `is_on_sale`.
    `only_if` is "e.has_waitlist" for a statement that has `released`, too: it takes its turn before the buyer's lock.
    A statement that has made an offer gives nothing (NONE_OFFERED): it is executed again.
    """
    return f"""offered AS MATERIALIZED (
    SELECT o.* FROM {event} CROSS JOIN LATERAL offer_places(e.id, {seats}, {types}, %(offer_terms)s::jsonb) o
    WHERE e.is_on_sale AND {only_if} AND {condition}
),
{_recorded("offered")}"""


def _recorded(name: str) -> str:
    return outbox.record(
        f"{name} o",
        kinds=outbox.kinds(MessageKind.RESERVATION_CREATED, MessageKind.WAITLIST_OFFERED),
        subject="(o.reservation).id",
        event="(o.reservation).event_id",
        data=outbox.reservation_data("(o.reservation)", items="o.items"),
        name=f"outbox_{name}",
    )


NONE_OFFERED = "NOT EXISTS (SELECT FROM offered)"

# Columns of the result, for `publish_offers`.
OFFERS = "(SELECT jsonb_agg(to_jsonb(o)) FROM offered o) AS offers"


def parameters() -> dict[str, Any]:
    """Those of the parts above."""
    terms = {
        "hold_seconds": settings.OFFER_SECONDS,
        "max_tickets": settings.MAX_TICKETS_PER_BUYER,
        "relock_seconds": settings.RELOCK_SECONDS,
        "window_seconds": settings.UNPAID_HOLD_WINDOW_SECONDS,
        "unpaid_seconds": settings.UNPAID_HOLD_SECONDS or None,
    }
    return {"offer_terms": orjson.dumps(terms).decode()}


def seats_of(offers: Sequence[Mapping[str, Any]] | None) -> frozenset[UUID]:
    """The seats that are in these offers."""
    return frozenset(UUID(seat_id) for offer in offers or () for seat_id in offer["seats"])


def publish_offers(row: Mapping[str, Any]) -> int:
    """After the commit everybody learns of the offers of a statement, `row["offers"]`. Returns how many they are."""
    offers: list[dict[str, Any]] = row["offers"] or []
    by_event: dict[str, list[dict[str, Any]]] = {}
    for offer in offers:
        by_event.setdefault(offer["reservation"]["event_id"], []).append(offer)
    for event_id, of_event in by_event.items():
        after_commit(effects.places_were_offered, event_id=UUID(event_id), offers=of_event)
    return len(offers)


# --- Places that no statement has released ----------------------------------------------------------------------------

_OFFER_FREE = f"""
WITH event AS MATERIALIZED (SELECT e.id, e.has_waitlist, {IS_ON_SALE} AS is_on_sale FROM events e WHERE e.id = %(event_id)s),
{asked_for(seats="NULL", types="NULL")}
SELECT {OFFERS}
"""

# An event that is sold out has no free places: whatever is released is offered by the statement that releases it.
_WITH_FREE_PLACES = f"""
SELECT e.id FROM (SELECT DISTINCT event_id AS id FROM waitlist_entries WHERE status = 'waiting') w JOIN events e USING (id)
WHERE e.status <> 'sold_out' AND e.has_waitlist AND {IS_ON_SALE} AND e.id <> ALL(%(leave_out)s::uuid[])
ORDER BY e.id
"""


def offer_free_places(*, event_id: UUID) -> int:
    """Offers what is free of an event: new seats, or stock that another writer has raised. Returns how many offers."""
    total = 0
    while made := publish_offers(fetch_one(_OFFER_FREE, {"event_id": event_id, **parameters()})):
        total += made
    return total


def events_with_free_places(*, leave_out: Sequence[UUID]) -> list[UUID]:
    """The events for which somebody waits, and which are not sold out."""
    return [row["id"] for row in fetch_all(_WITH_FREE_PLACES, {"leave_out": list(leave_out)})]
