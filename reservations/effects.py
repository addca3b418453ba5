"""What follows when something happened to reservations. Everything here is safe to lose."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from redis import Redis

from events.services import funnel
from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import execute
from queueing import services as queueing
from reservations import metrics
from reservations.integrity import Audit
from seats import services as seats

MAX_LOGGED = 20
logger = logging.getLogger(__name__)


def seats_were_locked(*, event_id: UUID, changes: Mapping[UUID, int], locks: seats.SeatLocks) -> None:
    """`changes`, here and below: the seats, and the number of each change."""
    metrics.seats_reserved.labels(event_id=str(event_id)).inc(len(changes))
    seats.publish_locked(event_id=event_id, changes=changes, locks=locks)


def seats_were_sold(*, event_id: UUID | None, user_id: UUID, changes: Mapping[UUID, int]) -> None:
    if event_id is None:
        return
    metrics.reservations_confirmed.labels(event_id=str(event_id)).inc()
    queueing.end_admission(event_id=event_id, user_id=user_id, cause="bought")
    if changes:
        seats.publish_sold(event_id=event_id, changes=changes)
    else:
        with suppress(RedisUnavailable):
            execute(lambda redis: _count_paid(redis, event_id))


def _count_paid(redis: Redis, event_id: UUID) -> None:
    pipeline = redis.pipeline(transaction=False)
    funnel.count(pipeline, event_id, "paid")
    pipeline.execute()


def seats_were_released(*, event_id: UUID, changes: Mapping[UUID, int]) -> None:
    seats.publish_released(event_id=event_id, changes=changes)


def reservation_was_cancelled(*, event_id: UUID, user_id: UUID) -> None:
    queueing.end_admission(event_id=event_id, user_id=user_id, cause="cancelled")


def tickets_were_taken(
    *, event_id: UUID, stock: Sequence[dict[str, Any]], quantity: int, locks: seats.SeatLocks
) -> None:
    metrics.tickets_reserved.labels(event_id=str(event_id)).inc(quantity)
    stock_has_changed(event_id=event_id, stock=stock, reserved=1)
    locks.let_go()


def stock_has_changed(*, event_id: UUID, stock: Sequence[dict[str, Any]], reserved: int = 0) -> None:
    """`stock`: {id, available_quantity, total_quantity, change}; by so many new reservations. One round trip."""
    seats.publish_stock(event_id=event_id, stock=stock, reserved=reserved)


def reservations_were_ended(*, reason: str, count: int) -> None:
    metrics.reservations_ended.labels(reason=reason).inc(count)


def audit_was_made(found: Audit) -> None:
    """Tells what it found; the first rows of each check only, so that a log is not flooded."""
    for outcome in found.outcomes:
        metrics.invariant_violations.labels(check=outcome.check).set(outcome.count)
        for row in outcome.rows[:MAX_LOGGED]:
            logger.error("%s: %s", outcome.check, row)
    if not found.waiting_room_was_checked:
        logger.warning("the audit did not look at the waiting rooms: Redis does not answer")
