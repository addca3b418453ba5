"""Operations on seats, a file per verb, and what other apps may use of locks, publishing and effects."""

from seats.effects import event_was_saved, status_was_changed
from seats.locks import SeatLocks, acquire_locks
from seats.publishing import (
    publish_locked,
    publish_map_changed,
    publish_released,
    publish_sold,
    publish_stock,
)
from seats.services.generating import generate_missing_seats, generate_seats
from seats.services.statuses import update_status_of_dirty_events, update_statuses

__all__ = [
    "SeatLocks",
    "acquire_locks",
    "event_was_saved",
    "generate_missing_seats",
    "generate_seats",
    "publish_locked",
    "publish_map_changed",
    "publish_released",
    "publish_sold",
    "publish_stock",
    "status_was_changed",
    "update_status_of_dirty_events",
    "update_statuses",
]
