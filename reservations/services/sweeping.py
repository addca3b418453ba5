"""The sweep: every second it expires holds past their deadline, offers what is free to those who wait for it, and updates
events that have sold out, or no longer."""

import logging
import time
from uuid import UUID

from django.db import DatabaseError

from kernel.tasks.batches import Batch, is_outage
from reservations.errors import SeatStatusDiffers
from reservations.services.offering import events_with_free_places, offer_free_places
from reservations.services.releasing import due_reservations, expire_batch, expire_one
from seats.services import update_status_of_dirty_events

BATCH = 500
MAX_SECONDS = 0.8  # of the second until the next sweep
MAX_SECONDS_ONE_BY_ONE = 5.0  # after a batch that failed

logger = logging.getLogger(__name__)
_batch: Batch[UUID] = Batch("sweep")
_offers: Batch[UUID] = Batch("offer_free_places")


def sweep() -> dict[str, int]:
    """Expires overdue reservations, in batches, for less than a second. Returns the counts that are not 0.

    One that cannot be expired does not stop the others: it is logged, and tried again after a minute.
    """
    started = time.monotonic()
    expired = 0
    while time.monotonic() < started + MAX_SECONDS:
        ended = _expire_batch()
        expired += ended
        if ended < BATCH:
            break
    offered = _offers.run(
        events_with_free_places(), lambda event_id: offer_free_places(event_id=event_id), seconds=MAX_SECONDS
    )
    statuses = update_status_of_dirty_events()
    counts = (("expired", expired), ("offered", offered), ("statuses", statuses))
    return {name: count for name, count in counts if count}


def _expire_batch() -> int:
    left_out = _batch.left_out
    try:
        released = expire_batch(limit=BATCH, leave_out=left_out)
    except DatabaseError as error:
        if is_outage(error):
            raise
        logger.warning("a batch of expired reservations failed; trying them one by one: %s", error)
        due = due_reservations(limit=BATCH, leave_out=left_out)
        return _batch.run(due, expire_one, seconds=MAX_SECONDS_ONE_BY_ONE)
    for reservation_id in released.held_back:
        _batch.pass_over(reservation_id, SeatStatusDiffers())
    return released.ended
