"""What a buyer may have of an event: parts of the statements that give seats or tickets to somebody.

- At most so many seats and tickets, pending and paid together (`max_tickets_per_buyer`).
- No seat that the buyer has released, or let lapse, unpaid within RELOCK_SECONDS.
- Nothing unpaid for longer than UNPAID_HOLD_SECONDS of UNPAID_HOLD_WINDOW_SECONDS.
"""

import math
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings

from kernel.errors import DomainError
from reservations.errors import SeatRecentlyReleased, TicketLimitReached, UnpaidTimeUsedUp

# Of an event `e`, for the CTE `event`.
MAX_TICKETS = "coalesce(e.max_tickets_per_buyer, %(max_tickets)s) AS max_tickets"


def buyer(*, seat_ids: str, condition: str) -> str:
    """The CTE `buyer`: what the buyer has, `record`, and `max_tickets`; no row unless `condition` is true.

    `condition` is about `verdict v` and `event e`, and `seat_ids` is the SQL of the seats that are wanted.
    """
    # Until the end of the transaction no other request of this buyer for this event gets further than this. It is the last
    # lock of the statement: nobody who has it waits for a row. As an output of the SELECT the function is called only once
    # the condition is found true, when `verdict` has locked the places.
    return f"""buyer AS MATERIALIZED (
    SELECT e.max_tickets, lock_buyer(
        %(user_id)s, %(event_id)s, {seat_ids}, %(relock_seconds)s::float8, %(seconds)s::float8, %(window_seconds)s::float8,
        %(unpaid_seconds)s::float8
    ) AS record
    FROM verdict v, event e WHERE {condition}
)"""


# Of `buyer b` and `verdict v`, whose `quantity` is what is wanted.
MAY_BUY = """(b.record).held + v.quantity <= b.max_tickets AND (b.record).closed_seat IS NULL
      AND (b.record).unpaid_seconds <= %(unpaid_seconds)s::float8"""

# A column of the result, for `rejection` and `is_behind_own_hold`; `r` is what was made, if anything was.
RECORD = """CASE WHEN r.id IS NULL THEN (
           SELECT to_jsonb(b.record) || jsonb_build_object('max_tickets', b.max_tickets) FROM buyer b
       ) END AS buyer"""


def parameters() -> dict[str, Any]:
    """Those of the parts above, but for the buyer, the event and `seconds`, for which the places would be held."""
    return {
        "max_tickets": settings.MAX_TICKETS_PER_BUYER,
        "relock_seconds": settings.RELOCK_SECONDS,
        "unpaid_seconds": settings.UNPAID_HOLD_SECONDS or math.inf,
        "window_seconds": settings.UNPAID_HOLD_WINDOW_SECONDS,
    }


def is_behind_own_hold(record: Mapping[str, Any] | None) -> bool:
    """Whether nothing was made while the buyer has a hold past its deadline, which counts until it is ended."""
    return record is not None and bool(record["has_overdue"])


def rejection(row: Mapping[str, Any], *, quantity: int, labels: Mapping[UUID, str]) -> DomainError | None:
    """Which of the limits is in the way of so many places; None if none is, or the buyer was not judged."""
    if (record := row["buyer"]) is None:
        return None
    if record["held"] + quantity > record["max_tickets"]:
        return TicketLimitReached(most=record["max_tickets"])
    if record["closed_seat"] is not None:
        return SeatRecentlyReleased(label=labels[UUID(record["closed_seat"])], seconds=record["closed_seconds"])
    if settings.UNPAID_HOLD_SECONDS and record["unpaid_seconds"] > settings.UNPAID_HOLD_SECONDS:
        return UnpaidTimeUsedUp()
    return None
