"""What is tidied up every second: holds past their time, and events that are sold out, or no longer."""

import logging
import time
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError

from reservations.services.releasing import due_reservations, expire_due, expire_one
from seats.services import update_status_of_dirty_events

BATCH = 500
MAX_SECONDS = 0.8  # of the second until the next sweep
REST_SECONDS = 60.0

logger = logging.getLogger(__name__)
_resting: dict[UUID, float] = {}  # reservations that could not be ended, and until when nobody tries again


def sweep() -> dict[str, int]:
    """Ends what is due, in batches, for less than a second. Returns counts of what was not nothing.

    One reservation that can not be ended does not stop the others: it is left out for a minute, and logged each time.
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
    for reservation_id in [known for known, until in _resting.items() if until <= now]:
        del _resting[reservation_id]
    try:
        return expire_due(limit=BATCH, leave_out=list(_resting))
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError:
        logger.warning("a batch of expired reservations failed; trying them one by one")
        return sum(map(_expired, due_reservations(limit=BATCH, leave_out=list(_resting))))


def _expired(reservation_id: UUID) -> int:
    try:
        return expire_one(reservation_id)
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError:
        logger.exception("reservation %s can not be ended; left alone for a minute", reservation_id)
        _resting[reservation_id] = time.monotonic() + REST_SECONDS
        return 0
