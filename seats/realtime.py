"""What is told about an event while it changes: messages, and the channel on which an event's are published.

A push is a hint, the snapshot is the truth. What is published is `{"messages": [...]}`; with a `"version"` when the seat map
changed: that is the version after the last of the messages, each of which is one version further.
"""

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from kernel.api import timestamp
from kernel.redis import event_key
from seats.models import Seat


def hello(event_id: UUID, version: int) -> dict[str, Any]:
    """What is heard first. Heard again, it says that something was missed: fetch anew what is shown."""
    return {"type": "hello", "eventId": event_id, "version": version}


SeatChange = Literal["seat-locked", "seat-released", "seat-sold"]
STATUS_AFTER: dict[SeatChange, str] = {
    "seat-locked": Seat.Status.LOCKED.value,
    "seat-released": Seat.Status.AVAILABLE.value,
    "seat-sold": Seat.Status.SOLD.value,
}


def channel(event_id: UUID) -> str:
    return event_key("live:{}", event_id)


def seat_changed(change: SeatChange, *, event_id: UUID, seat_id: UUID) -> dict[str, Any]:
    """No user id in it: everybody hears it."""
    return {
        "type": change,
        "eventId": event_id,
        "seatId": seat_id,
        "status": STATUS_AFTER[change],
        "timestamp": timestamp(datetime.now(UTC)),
    }


def stock_changed(*, event_id: UUID, ticket_type_id: UUID, available: int, total: int) -> dict[str, Any]:
    return {
        "type": "ticket-updated",
        "eventId": event_id,
        "ticketTypeId": ticket_type_id,
        "availableQuantity": available,
        "totalQuantity": total,
        "timestamp": timestamp(datetime.now(UTC)),
    }


def status_changed(*, event_id: UUID, status: str) -> dict[str, Any]:
    return {"type": "event-status-changed", "eventId": event_id, "status": status}
