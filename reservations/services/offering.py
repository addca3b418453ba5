"""Offering places to those who wait for them: parts of the statements that release places, and of those that give them.

An offer is a pending reservation for OFFER_SECONDS. The function `offer_places` (migration 0009) makes it, for the first in
order whom the places suit and who may have them. Not taken, it ends as every hold does, and that statement makes the next.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from events.selectors import IS_ON_SALE
from kernel.db.sql import after_commit, fetch_all, fetch_one
from reservations import effects
from reservations.services import buyer_limits

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
    # JSON knows no infinity: orjson writes null, which the function takes for no limit.
    terms = {"hold_seconds": settings.OFFER_SECONDS, **buyer_limits.parameters()}
    return {"offer_terms": orjson.dumps(terms).decode()}


def fetch_unoffered(fetch: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The row of a statement with `asked_for`, executed until nobody who waits comes first; offers are published.

    But for those of a statement that has done what was asked, and so has a `reservation_id`: it offers what it has released.
    """
    row = fetch()
    while row.get("reservation_id") is None and publish_offers(row):
        row = fetch()
    return row


def publish_offers(row: Mapping[str, Any]) -> int:
    """After the commit everybody learns of the offers of a statement. Returns how many they are."""
    offers = _offers_of(row)
    by_event: dict[str, list[dict[str, Any]]] = {}
    for offer in offers:
        by_event.setdefault(offer["reservation"]["event_id"], []).append(offer)
    for event_id, of_event in by_event.items():
        after_commit(effects.places_were_offered, event_id=UUID(event_id), offers=of_event)
    return len(offers)


def offered_seats(row: Mapping[str, Any]) -> frozenset[UUID]:
    """The seats that a statement has released and offered: nobody sees as available what is somebody else's already."""
    return frozenset(UUID(seat_id) for offer in _offers_of(row) for seat_id in offer["seats"])


def _offers_of(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """{reservation, items, seats, stock} of each offer, `seats` being the changes by id."""
    return [offer for of_event in row["offers"] or () for offer in of_event]


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
WHERE e.status <> 'sold_out' AND e.has_waitlist AND {IS_ON_SALE}
ORDER BY e.id
"""


def offer_free_places(*, event_id: UUID) -> int:
    """Offers what is free of an event: new seats, or stock that another writer has raised. Returns how many offers."""
    total = 0
    while made := publish_offers(fetch_one(_OFFER_FREE, {"event_id": event_id, **parameters()})):
        total += made
    return total


def events_with_free_places() -> list[UUID]:
    """The events for which somebody waits, and which are not sold out."""
    return [row["id"] for row in fetch_all(_WITH_FREE_PLACES, {})]
