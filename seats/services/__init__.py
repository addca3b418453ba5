"""Operations on seats, a file per verb, and what other apps may use of locks, publishing and effects."""

from seats.effects import event_was_saved, status_was_changed
from seats.locks import SeatLocks, acquire_locks
from seats.progress import Progress, progress_failed, progress_started, read_progress
from seats.publishing import (
    publish_locked,
    publish_map_changed,
    publish_offered,
    publish_released,
    publish_sold,
    publish_stock,
)
from seats.services.generating import CHUNK, generate_missing_seats, generate_seats, insert_seats
from seats.services.placing import place_seats
from seats.services.statuses import update_status_of_dirty_events, update_statuses

__all__ = [
    "CHUNK",
    "Progress",
    "SeatLocks",
    "acquire_locks",
    "event_was_saved",
    "generate_missing_seats",
    "generate_seats",
    "insert_seats",
    "place_seats",
    "progress_failed",
    "progress_started",
    "publish_locked",
    "publish_map_changed",
    "publish_offered",
    "publish_released",
    "publish_sold",
    "publish_stock",
    "read_progress",
    "status_was_changed",
    "update_status_of_dirty_events",
    "update_statuses",
]
