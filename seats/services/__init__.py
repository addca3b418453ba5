"""What can be done with seats: locks, generation, what is published, and the status of events that follows from them."""

from queueing.services import Visitor
from seats.services.generating import generate_missing_seats, generate_seats
from seats.services.locking import SeatLocks, acquire_locks
from seats.services.publishing import (
    publish_event_saved,
    publish_locked,
    publish_map_changed,
    publish_released,
    publish_sold,
    publish_status,
    publish_stock,
)
from seats.services.statuses import update_status_of, update_status_of_dirty_events, update_statuses

__all__ = [
    "SeatLocks",
    "Visitor",
    "acquire_locks",
    "generate_missing_seats",
    "generate_seats",
    "publish_event_saved",
    "publish_locked",
    "publish_map_changed",
    "publish_released",
    "publish_sold",
    "publish_status",
    "publish_stock",
    "update_status_of",
    "update_status_of_dirty_events",
    "update_statuses",
]
