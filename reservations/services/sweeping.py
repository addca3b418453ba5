"""The sweep: every second it expires holds past their deadline, and updates events that have sold out, or no longer."""

import logging
import time
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError

from reservations.services.releasing import due_reservations, expire_batch, expire_one
from seats.services import update_status_of_dirty_events

BATCH = 500
MAX_SECONDS = 0.8  # of the second until the next sweep
RETRY_SECONDS = 60.0

logger = logging.getLogger(__name__)
_failed: dict[UUID, float] = {}  # reservations that could not be expired, and when to try again


def sweep() -> dict[str, int]:
    """Expires overdue reservations, in batches, for less than a second. Returns the counts that are not 0.

    One that cannot be expired does not stop the others: it is logged, and tried again after RETRY_SECONDS.
    """
    started = time.monotonic()
    expired = 0
    while time.monotonic() < started + MAX_SECONDS:
        ended = _expire_batch()
        expired += ended
        if ended < BATCH:
            break
    statuses = update_status_of_dirty_events()
    return {name: count for name, count in (("expired", expired), ("statuses", statuses)) if count}


def _expire_batch() -> int:
    now = time.monotonic()
    for reservation_id in [failed for failed, retry_at in _failed.items() if retry_at <= now]:
        del _failed[reservation_id]
    try:
        released = expire_batch(limit=BATCH, leave_out=list(_failed))
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError:
        logger.warning("a batch of expired reservations failed; trying them one by one")
        return sum(map(_expire_or_log, due_reservations(limit=BATCH, leave_out=list(_failed))))
    for reservation_id in released.held_back:
        logger.error("reservation %s is not expired, since a seat of it is not locked", reservation_id)
        _failed[reservation_id] = now + RETRY_SECONDS
    return released.ended


def _expire_or_log(reservation_id: UUID) -> int:
    try:
        return expire_one(reservation_id)
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError:
        logger.exception("reservation %s cannot be expired; it is tried again after a minute", reservation_id)
        _failed[reservation_id] = time.monotonic() + RETRY_SECONDS
        return 0
