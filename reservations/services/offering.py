"""Offering places to those who wait for them: parts of the statements that release places, and of those that give them.

An offer is a pending reservation for OFFER_SECONDS. The function `offer_places` (migration 0009) makes it, for the first in
order whom the places suit and who may have them. Not taken, it ends as every hold does, and that statement makes the next.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from events.selectors import IS_ON_SALE
from kernel.db.sql import after_commit, fetch_all, fetch_one
from reservations import effects

# A column of an event `e`, for the CTE `event`.
EVENT_COLUMN = "e.has_waitlist"


def released(*, seats: str | None, types: str | None, after: Sequence[str], name: str = "offered") -> str:
    """The CTE that offers what the statement has released.

    `seats` and `types` are CTEs of `id` and `event_id`, `after` those that must be complete: whatever writes the same rows,
    or reads them as they were.
    """
    sources = [one for one in (seats, types) if one is not None]
    events = " UNION ALL ".join(f"SELECT event_id FROM {one}" for one in sources)
    complete = " AND ".join(f"(SELECT count(*) FROM {one}) IS NOT NULL" for one in after)

    def ids(source: str | None) -> str:
        return f"ARRAY(SELECT id FROM {source} WHERE event_id = e.id)" if source else "'{}'"

    # Whether somebody waits is left to the function: it sees also those who have joined since the statement began.
    return f"""{name} AS MATERIALIZED (
    SELECT offer_places(e.id, {ids(seats)}, {ids(types)}, %(offer_terms)s::jsonb, true) AS offers FROM (
        SELECT e.id FROM events e
        WHERE e.has_waitlist AND {IS_ON_SALE} AND e.id IN ({events}) AND {complete} ORDER BY e.id
    ) e
)"""


def asked_for(
    *,
    seats: str = "'{}'",
    types: str = "'{}'",
    condition: str,
    event: str = "%(event_id)s",
    also_releases: bool = False,
) -> str:
    """The CTE `offered` of a statement that gives places to somebody: those who wait for them come first, whoever asks.

    `seats` and `types` are arrays of ids, whose rows the statement has locked. `condition` begins with what is false for an
    event without a waiting list, and follows FROM. With `also_releases` the statement has `released`, too: it takes its
    turn here, before the buyer's lock. A statement that has made an offer gives nothing (NONE_OFFERED), and is executed
    again.
    """
    return f"""offered AS MATERIALIZED (
    SELECT offer_places({event}, {seats}, {types}, %(offer_terms)s::jsonb, {also_releases}) AS offers FROM {condition}
)"""


NONE_OFFERED = "NOT EXISTS (SELECT FROM offered WHERE offers IS NOT NULL)"

# A column of the result, for `publish_offers`: a list of what the function has returned for each event.
OFFERS = "(SELECT jsonb_agg(offers) FROM offered WHERE offers IS NOT NULL) AS offers"


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


def offers_of(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a statement has offered: {reservation, items, seats, stock} of each, `seats` being the changes by id."""
    return [offer for of_event in row["offers"] or () for offer in of_event]


def seats_of(offers: Sequence[Mapping[str, Any]]) -> frozenset[UUID]:
    """The seats that are in these offers."""
    return frozenset(UUID(seat_id) for offer in offers for seat_id in offer["seats"] or ())


def publish_offers(row: Mapping[str, Any]) -> int:
    """After the commit everybody learns of the offers of a statement. Returns how many they are."""
    offers = offers_of(row)
    by_event: dict[str, list[dict[str, Any]]] = {}
    for offer in offers:
        by_event.setdefault(offer["reservation"]["event_id"], []).append(offer)
    for event_id, of_event in by_event.items():
        after_commit(effects.places_were_offered, event_id=UUID(event_id), offers=of_event)
    return len(offers)


# --- Places that no statement has released ----------------------------------------------------------------------------

_OFFER_FREE = f"""
WITH offered AS MATERIALIZED (
    SELECT offer_places(e.id, NULL, NULL, %(offer_terms)s::jsonb, false) AS offers
    FROM events e WHERE e.id = %(event_id)s AND {IS_ON_SALE}
)
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
