"""Sales figures for organisers: seats and tickets by state, and sales over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from events.services.layouts import Section
from kernel.db.sql import fetch_all


@dataclass(frozen=True, slots=True, kw_only=True)
class StateCounts:
    """How many seats, or tickets without a seat, are in each state."""

    available: int
    locked: int
    sold: int

    @property
    def total(self) -> int:
        return self.available + self.locked + self.sold

    @property
    def percentages(self) -> dict[str, float]:
        """By state. All 0 if there is nothing to sell."""
        total = self.total or 1
        return {state: 100 * getattr(self, state) / total for state in ("sold", "locked", "available")}


@dataclass(frozen=True, slots=True)
class EventCounts:
    seats: StateCounts
    tickets: StateCounts


_COUNT_BY_STATE = """
WITH seat AS (
    SELECT event_id, count(*) FILTER (WHERE status = 'available') AS available,
           count(*) FILTER (WHERE status = 'locked') AS locked, count(*) FILTER (WHERE status = 'sold') AS sold
    FROM seats WHERE event_id = ANY(%(event_ids)s::uuid[]) GROUP BY event_id
),
stock AS (
    SELECT event_id, sum(available_quantity) AS available, sum(total_quantity) AS total
    FROM ticket_types WHERE event_id = ANY(%(event_ids)s::uuid[]) GROUP BY event_id
),
pending AS (
    SELECT r.event_id, sum(i.quantity) AS quantity FROM reservations r JOIN reservation_items i ON i.reservation_id = r.id
    WHERE r.status = 'pending' AND r.event_id = ANY(%(event_ids)s::uuid[]) AND i.ticket_type_id IS NOT NULL
    GROUP BY r.event_id
)
SELECT id, coalesce(seat.available, 0)::int AS seats_available, coalesce(seat.locked, 0)::int AS seats_locked,
       coalesce(seat.sold, 0)::int AS seats_sold, coalesce(stock.available, 0)::int AS tickets_available,
       coalesce(pending.quantity, 0)::int AS tickets_locked, coalesce(stock.total, 0)::int AS tickets_total
FROM unnest(%(event_ids)s::uuid[]) AS id LEFT JOIN seat ON seat.event_id = id LEFT JOIN stock ON stock.event_id = id
LEFT JOIN pending ON pending.event_id = id
"""


def count_by_state(event_ids: Sequence[UUID]) -> dict[UUID, EventCounts]:
    """Seats and tickets by event; zeros for events that do not exist. One round trip.

    Tickets of pending reservations count as locked.
    """
    return {
        row["id"]: EventCounts(
            StateCounts(available=row["seats_available"], locked=row["seats_locked"], sold=row["seats_sold"]),
            # Sold is what remains, and not counted: stock may have been sold elsewhere before this service was used.
            StateCounts(
                available=row["tickets_available"],
                locked=row["tickets_locked"],
                sold=max(0, row["tickets_total"] - row["tickets_available"] - row["tickets_locked"]),
            ),
        )
        for row in fetch_all(_COUNT_BY_STATE, {"event_ids": list(event_ids)})
    }


_SALES_OVER_TIME = """
WITH reservation AS MATERIALIZED (
    SELECT r.status, r.created_at, r.updated_at, r.total_amount, sum(i.quantity) AS quantity
    FROM reservations r JOIN reservation_items i ON i.reservation_id = r.id WHERE r.event_id = %(event_id)s GROUP BY r.id
),
step AS (
    SELECT CASE WHEN age < interval '6 hours' THEN interval '1 minute'
           WHEN age < interval '2 days' THEN interval '10 minutes'
           WHEN age < interval '20 days' THEN interval '2 hours' ELSE interval '1 day' END AS step
    FROM (SELECT now() - min(created_at) AS age FROM reservation) AS first
),
change AS (
    SELECT created_at AS moment, quantity AS reserved, 0 AS sold, 0 AS amount FROM reservation
    UNION ALL SELECT updated_at, 0, quantity, total_amount FROM reservation WHERE status = 'confirmed'
)
SELECT extract(epoch FROM date_bin(step, moment, 'epoch'))::bigint AS at, sum(reserved)::bigint AS reserved,
       sum(sold)::bigint AS sold, sum(amount)::bigint AS amount, extract(epoch FROM min(step))::int AS step
FROM change, step GROUP BY 1 ORDER BY 1
"""


def sales_over_time(event_id: UUID) -> list[dict[str, Any]]:
    """Seats and tickets reserved and sold per minute, or per longer step where the sale has gone on for hours or days.

    Each row has `at` (epoch) and `step`, both in seconds, the quantities `reserved` and `sold`, and the `amount` sold in
    won. One round trip.
    """
    # A payment has no column for its time: it is counted at the last change of its row.
    return fetch_all(_SALES_OVER_TIME, {"event_id": event_id})


_SECTIONS = """
SELECT section, min(row_number) AS first, max(row_number) AS last, max(seat_number) AS widest, max(price) AS price
FROM seats WHERE event_id = %(event_id)s GROUP BY section
"""


def sections_with_seats(event_id: UUID, *, order: Sequence[str]) -> list[Section]:
    """The sections of the event's actual seats, whatever its layout says now. Those named in `order` come first."""
    ranks = {name: rank for rank, name in enumerate(order)}
    sections = [
        Section(
            name=row["section"],
            rows=row["last"] - row["first"] + 1,
            seats_per_row=row["widest"],
            price=row["price"],
            start_row=row["first"],
        )
        for row in fetch_all(_SECTIONS, {"event_id": event_id})
    ]
    return sorted(sections, key=lambda section: (ranks.get(section.name, len(ranks)), section.start_row, section.name))
