"""Messages about an event while it is sold: seats, stock, status; and the channel on which they are published.

A push is a hint, the snapshot is the truth. A payload is `{"messages": [...]}`, with a `"version"` when the seat map has
changed: that is the version after the last of the messages, and each of them is one version.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from django.conf import settings

from kernel.realtime.channel import Message
from kernel.redis.scripts import tagged_key
from kernel.wire import timestamp
from seats.models import Seat


def hello(event_id: UUID, version: int) -> Message:
    """The first message to a subscriber. Another one means that something was missed: fetch the snapshot again."""
    return {"type": "hello", "eventId": event_id, "version": version}


SeatChange = Literal["seat-locked", "seat-released", "seat-sold"]
STATUS_AFTER: dict[SeatChange, str] = {  # as the seat map shows it
    "seat-locked": Seat.Status.LOCKED.value,
    "seat-released": Seat.Status.AVAILABLE.value,
    "seat-sold": settings.SOLD_SEAT_WIRE_VALUE,
}


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a seat, of a ticket type's stock or of an event's status, and the message about it.

    A later change of the same object has a higher `number`. Changes may be published in another order than that in which
    they were committed; an older one that comes later is left out.
    """

    object_id: UUID
    number: int
    message: Message


def last_published_key(event_id: UUID, object_id: UUID) -> str:
    return tagged_key("published:{}:{}", event_id, object_id)


def channel(event_id: UUID) -> str:
    return tagged_key("live:{}", event_id)


def seats_changed(what: SeatChange, *, event_id: UUID, changes: Mapping[UUID, int]) -> list[Change]:
    """`changes`: the number of the change of each seat. The messages are public, and so have no user id."""
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
    return Change(event_id, change, {"type": "event-status-changed", "eventId": event_id, "status": status})
