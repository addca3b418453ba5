"""Reading how sales go, for organisers: how much is free, held and sold, and when it was."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from events.services.layouts import Section
from kernel.db.sql import fetch_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Of seats, or of tickets without a seat."""

    free: int
    held: int
    sold: int

    @property
    def total(self) -> int:
        return self.free + self.held + self.sold

    @property
    def shares(self) -> dict[str, float]:
        """Per cent, of each state."""
        total = self.total or 1
        return {name: 100 * getattr(self, name) / total for name in ("sold", "held", "free")}


@dataclass(frozen=True, slots=True)
class Places:
    seats: Taken
    tickets: Taken


_PLACES = """
WITH seat AS (
    SELECT event_id, count(*) FILTER (WHERE status = 'available') AS free, count(*) FILTER (WHERE status = 'locked') AS held,
           count(*) FILTER (WHERE status = 'sold') AS sold
    FROM seats WHERE event_id = ANY(%(event_ids)s::uuid[]) GROUP BY event_id
),
stock AS (
    SELECT event_id, sum(available_quantity) AS free, sum(total_quantity) AS total
    FROM ticket_types WHERE event_id = ANY(%(event_ids)s::uuid[]) GROUP BY event_id
),
held AS (
    SELECT r.event_id, sum(i.quantity) AS held FROM reservations r JOIN reservation_items i ON i.reservation_id = r.id
    WHERE r.status = 'pending' AND r.event_id = ANY(%(event_ids)s::uuid[]) AND i.ticket_type_id IS NOT NULL
    GROUP BY r.event_id
)
SELECT id, coalesce(seat.free, 0)::int AS seats_free, coalesce(seat.held, 0)::int AS seats_held,
       coalesce(seat.sold, 0)::int AS seats_sold, coalesce(stock.free, 0)::int AS tickets_free,
       coalesce(stock.total, 0)::int AS tickets_total, coalesce(held.held, 0)::int AS tickets_held
FROM unnest(%(event_ids)s::uuid[]) AS id LEFT JOIN seat ON seat.event_id = id LEFT JOIN stock ON stock.event_id = id
LEFT JOIN held ON held.event_id = id
"""


def places_of(event_ids: Sequence[UUID]) -> dict[UUID, Places]:
    """By event, for events that exist or not. One round trip."""
    return {
        row["id"]: Places(
            Taken(free=row["seats_free"], held=row["seats_held"], sold=row["seats_sold"]),
            # What is neither left nor held is sold: stock may have been sold before this service knew of it.
            Taken(
                free=row["tickets_free"],
                held=row["tickets_held"],
                sold=max(0, row["tickets_total"] - row["tickets_free"] - row["tickets_held"]),
            ),
        )
        for row in fetch_all(_PLACES, {"event_ids": list(event_ids)})
    }


_OVER_TIME = """
WITH sale AS MATERIALIZED (
    SELECT r.status, r.created_at, r.updated_at, r.total_amount, sum(i.quantity) AS places
    FROM reservations r JOIN reservation_items i ON i.reservation_id = r.id WHERE r.event_id = %(event_id)s GROUP BY r.id
),
step AS (
    SELECT CASE WHEN age < interval '6 hours' THEN interval '1 minute'
           WHEN age < interval '2 days' THEN interval '10 minutes'
           WHEN age < interval '20 days' THEN interval '2 hours' ELSE interval '1 day' END AS step
    FROM (SELECT now() - min(created_at) AS age FROM sale) AS first
),
change AS (
    SELECT created_at AS moment, places AS reserved, 0 AS sold, 0 AS amount FROM sale
    UNION ALL SELECT updated_at, 0, places, total_amount FROM sale WHERE status = 'confirmed'
)
SELECT extract(epoch FROM date_bin(step, moment, 'epoch'))::bigint AS at, sum(reserved)::bigint AS reserved,
       sum(sold)::bigint AS sold, sum(amount)::bigint AS amount, extract(epoch FROM min(step))::int AS step
FROM change, step GROUP BY 1 ORDER BY 1
"""


def sales_over_time(event_id: UUID) -> list[dict[str, Any]]:
    """What was reserved and paid, by minute; by longer steps where a sale has gone on for hours or days.

    Each has `at` and `step` (seconds), places `reserved` and `sold`, and the `amount` of the latter. The moment of a payment
    is the row's last change. One round trip.
    """
    return fetch_all(_OVER_TIME, {"event_id": event_id})


_SECTIONS = """
SELECT section, min(row_number) AS first, max(row_number) AS last, max(seat_number) AS widest, max(price) AS price
FROM seats WHERE event_id = %(event_id)s GROUP BY section
"""


def sections_with_seats(event_id: UUID, *, order: Sequence[str]) -> list[Section]:
    """The sections that the event's seats really have, whatever its layout says by now; those of `order` first."""
    places = {name: place for place, name in enumerate(order)}
    found = [
        Section(
            name=row["section"],
            rows=row["last"] - row["first"] + 1,
            seats_per_row=row["widest"],
            price=row["price"],
            start_row=row["first"],
        )
        for row in fetch_all(_SECTIONS, {"event_id": event_id})
    ]
    return sorted(found, key=lambda section: (places.get(section.name, len(places)), section.start_row, section.name))
