"""Reading statistics of sales, for organisers: how many seats and tickets are available, locked and sold, and over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from events.services.layouts import Section
from kernel.db.sql import fetch_all


@dataclass(frozen=True, slots=True, kw_only=True)
class SalesCounts:
    """How many seats, or how many tickets, are in each state."""

    available: int
    locked: int
    sold: int

    @property
    def total(self) -> int:
        return self.available + self.locked + self.sold

    @property
    def shares(self) -> dict[str, float]:
        """Per cent, by state."""
        total = self.total or 1
        return {name: 100 * getattr(self, name) / total for name in ("sold", "locked", "available")}


@dataclass(frozen=True, slots=True)
class EventCounts:
    seats: SalesCounts
    tickets: SalesCounts


_COUNTS = """
WITH seat AS (
    SELECT event_id, count(*) FILTER (WHERE status = 'available') AS available,
           count(*) FILTER (WHERE status = 'locked') AS locked,
           count(*) FILTER (WHERE status = 'sold') AS sold
    FROM seats WHERE event_id = ANY(%(event_ids)s::uuid[]) GROUP BY event_id
),
stock AS (
    SELECT event_id, sum(available_quantity) AS available, sum(total_quantity) AS total
    FROM ticket_types WHERE event_id = ANY(%(event_ids)s::uuid[]) GROUP BY event_id
),
locked AS (
    SELECT r.event_id, sum(i.quantity) AS locked FROM reservations r JOIN reservation_items i ON i.reservation_id = r.id
    WHERE r.status = 'pending' AND r.event_id = ANY(%(event_ids)s::uuid[]) AND i.ticket_type_id IS NOT NULL
    GROUP BY r.event_id
)
SELECT id, coalesce(seat.available, 0)::int AS seats_available, coalesce(seat.locked, 0)::int AS seats_locked,
       coalesce(seat.sold, 0)::int AS seats_sold, coalesce(stock.available, 0)::int AS tickets_available,
       coalesce(stock.total, 0)::int AS tickets_total, coalesce(locked.locked, 0)::int AS tickets_locked
FROM unnest(%(event_ids)s::uuid[]) AS id LEFT JOIN seat ON seat.event_id = id LEFT JOIN stock ON stock.event_id = id
LEFT JOIN locked ON locked.event_id = id
"""


def counts_by_event(event_ids: Sequence[UUID]) -> dict[UUID, EventCounts]:
    """The counts of each event, 0 for one that does not exist. One round trip."""
    return {
        row["id"]: EventCounts(
            SalesCounts(available=row["seats_available"], locked=row["seats_locked"], sold=row["seats_sold"]),
            # The rest is sold: tickets may have been sold before this service existed.
            SalesCounts(
                available=row["tickets_available"],
                locked=row["tickets_locked"],
                sold=max(0, row["tickets_total"] - row["tickets_available"] - row["tickets_locked"]),
            ),
        )
        for row in fetch_all(_COUNTS, {"event_ids": list(event_ids)})
    }


_OVER_TIME = """
WITH reserved AS MATERIALIZED (
    SELECT r.status, r.created_at, r.updated_at, r.total_amount, sum(i.quantity) AS quantity
    FROM reservations r JOIN reservation_items i ON i.reservation_id = r.id WHERE r.event_id = %(event_id)s GROUP BY r.id
),
step AS (
    SELECT CASE WHEN age < interval '6 hours' THEN interval '1 minute'
           WHEN age < interval '2 days' THEN interval '10 minutes'
           WHEN age < interval '20 days' THEN interval '2 hours' ELSE interval '1 day' END AS step
    FROM (SELECT now() - min(created_at) AS age FROM reserved) AS first
),
change AS (
    SELECT created_at AS moment, quantity AS reserved, 0 AS sold, 0 AS amount FROM reserved
    UNION ALL SELECT updated_at, 0, quantity, total_amount FROM reserved WHERE status = 'confirmed'
)
SELECT extract(epoch FROM date_bin(step, moment, 'epoch'))::bigint AS at, sum(reserved)::bigint AS reserved,
       sum(sold)::bigint AS sold, sum(amount)::bigint AS amount, extract(epoch FROM min(step))::int AS step
FROM change, step GROUP BY 1 ORDER BY 1
"""


def sales_over_time(event_id: UUID) -> list[dict[str, Any]]:
    """Seats and tickets reserved and sold, by minute; by longer steps when the sale has gone on for hours or days.

    {at, step, reserved, sold, amount}: seconds since 1970, seconds, counts, won. A payment counts at its row's last change.
    One round trip.
    """
    return fetch_all(_OVER_TIME, {"event_id": event_id})


_SECTIONS = """
SELECT section, min(row_number) AS first, max(row_number) AS last, max(seat_number) AS widest, max(price) AS price
FROM seats WHERE event_id = %(event_id)s GROUP BY section
"""


def sections_with_seats(event_id: UUID, *, order: Sequence[str]) -> list[Section]:
    """The sections of the event's seats, whatever its layout says by now; those of `order` first."""
    ranks = {name: rank for rank, name in enumerate(order)}
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
    return sorted(found, key=lambda section: (ranks.get(section.name, len(ranks)), section.start_row, section.name))
