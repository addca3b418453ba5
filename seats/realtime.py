"""What is told about an event while it changes: messages, and the channel on which an event's are published.

A push is a hint, the snapshot is the truth. What is published is `{"messages": [...]}`; with a `"version"` when the seat map
changed: that is the version after the last of the messages, each of which is one version further.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from django.conf import settings

from kernel.redis.keys import tagged_key
from kernel.wire import timestamp
from seats.models import Seat


def hello(event_id: UUID, version: int) -> dict[str, Any]:
    """What is heard first. Heard again, it says that something was missed: fetch anew what is shown."""
    return {"type": "hello", "eventId": event_id, "version": version}


SeatChange = Literal["seat-locked", "seat-released", "seat-sold"]
STATUS_AFTER: dict[SeatChange, str] = {  # as the seat map shows it
    "seat-locked": Seat.Status.LOCKED.value,
    "seat-released": Seat.Status.AVAILABLE.value,
    "seat-sold": settings.SOLD_SEAT_WIRE_VALUE,
}


@dataclass(frozen=True, slots=True)
class Change:
    """What is told of a seat, of stock or of the event's status.

    Of the same place a later change has a higher number: they may be told in another order than they happened in, and then
    the older one is left out.
    """

    place_id: UUID
    number: int
    message: dict[str, Any]


def last_published_key(event_id: UUID, place_id: UUID) -> str:
    return tagged_key("published:{}:{}", event_id, place_id)


def channel(event_id: UUID) -> str:
    return tagged_key("live:{}", event_id)


def seats_changed(what: SeatChange, *, event_id: UUID, changes: Mapping[UUID, int]) -> list[Change]:
    """`changes`: the seats, and the number of each change. No user id in it: everybody hears it."""
    now = timestamp(datetime.now(UTC))
    status = STATUS_AFTER[what]
    return [
        Change(seat, number, {"type": what, "eventId": event_id, "seatId": seat, "status": status, "timestamp": now})
        for seat, number in changes.items()
    ]


def stock_changed(*, event_id: UUID, stock: Sequence[Mapping[str, Any]]) -> list[Change]:
    """`stock`: {id, available_quantity, total_quantity, change}; ids may be text."""
    now = timestamp(datetime.now(UTC))
    return [
        Change(
            changed["id"],
            changed["change"],
            {
                "type": "ticket-updated",
                "eventId": event_id,
                "ticketTypeId": changed["id"],
                "availableQuantity": changed["available_quantity"],
                "totalQuantity": changed["total_quantity"],
                "timestamp": now,
            },
        )
        for changed in stock
    ]


def status_changed(*, event_id: UUID, status: str, change: int) -> Change:
    """Of two changes of status the later is told last, as of a seat."""
    return Change(event_id, change, {"type": "event-status-changed", "eventId": event_id, "status": status})
