"""What follows when something happened to seats and reservations. Everything here is safe to lose."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from redis import Redis

from events import funnel
from events.effects import event_was_changed
from events.selectors import event_cache_key, forget_event, forget_event_lists
from kernel.redis.caching import lease_key
from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import attempt
from kernel.tasks.enqueue import enqueue
from queueing import services as queueing
from seats import metrics, realtime
from seats.invariants import Audit
from seats.locks import Hold, set_free, tell, tell_status, tell_stock

MOST_LOGGED = 20
logger = logging.getLogger(__name__)


def seats_were_locked(*, event_id: UUID, changes: Mapping[UUID, int], hold: Hold) -> None:
    """`changes`, here and below: the seats, and the number of each change."""
    metrics.seats_reserved.labels(event_id=str(event_id)).inc(len(changes))
    hold.let_go_and_tell(realtime.seats_changed("seat-locked", event_id=event_id, changes=changes), "reserved")


def seats_were_sold(*, event_id: UUID | None, user_id: UUID, changes: Mapping[UUID, int]) -> None:
    if event_id is None:
        return
    metrics.reservations_confirmed.labels(event_id=str(event_id)).inc()
    queueing.free_place(event_id=event_id, user_id=user_id, cause="bought")
    if changes:
        tell(event_id, realtime.seats_changed("seat-sold", event_id=event_id, changes=changes), "paid")
    else:
        with suppress(RedisUnavailable):
            attempt(lambda redis: _count_paid(redis, event_id))


def _count_paid(redis: Redis, event_id: UUID) -> None:
    pipeline = redis.pipeline(transaction=False)
    funnel.count(pipeline, event_id, "paid")
    pipeline.execute()


def seats_were_released(*, event_id: UUID, changes: Mapping[UUID, int]) -> None:
    set_free(event_id, realtime.seats_changed("seat-released", event_id=event_id, changes=changes))


def reservation_was_cancelled(*, event_id: UUID, user_id: UUID) -> None:
    queueing.free_place(event_id=event_id, user_id=user_id, cause="cancelled")


def seats_were_generated(*, event_id: UUID) -> None:
    tell(event_id, [])


def tickets_were_taken(*, event_id: UUID, stock: Sequence[dict[str, Any]], quantity: int, hold: Hold) -> None:
    metrics.tickets_reserved.labels(event_id=str(event_id)).inc(quantity)
    stock_has_changed(event_id=event_id, stock=stock, reserved=1)
    hold.let_go()


def stock_has_changed(*, event_id: UUID, stock: Sequence[dict[str, Any]], reserved: int = 0) -> None:
    """`stock`: {id, available_quantity, total_quantity, change}; by so many new reservations. One round trip."""
    changes = realtime.stock_changed(event_id=event_id, stock=stock)
    cached = event_cache_key(event_id)
    tell_stock(event_id, changes, forget=[cached, lease_key(cached)], reserved=reserved)


def reservations_were_ended(*, reason: str, count: int) -> None:
    metrics.reservations_ended.labels(reason=reason).inc(count)


def status_was_changed(*, event_id: UUID, status: str, change: int) -> None:
    event_was_changed(event_id)
    queueing.refresh_policy(event_id=event_id)
    tell_status(event_id, realtime.status_changed(event_id=event_id, status=status, change=change))


def status_will_change(at: datetime) -> None:
    """Asks to be woken up then; once for each moment, however often it is computed."""
    moment = f"events:wake-up:{at.timestamp():.3f}"
    with suppress(RedisUnavailable):
        if attempt(lambda redis: redis.set(moment, 1, nx=True, ex=120)):
            enqueue("seats.tasks.update_statuses", at=at)


def event_was_saved(*, event_id: UUID) -> None:
    """After an organiser created or edited an event: caches, the next change of its status, its seats."""
    event_was_changed(event_id)
    queueing.refresh_policy(event_id=event_id)
    tell(event_id, [])
    enqueue("seats.tasks.update_statuses", expires=30)
    enqueue("seats.tasks.generate_seats_of", event_id=str(event_id))


def events_were_moved_in(*, event_ids: Sequence[UUID]) -> None:
    """Until now they looked as if they had ended."""
    for event_id in event_ids:
        forget_event(event_id)
        queueing.refresh_policy(event_id=event_id)
        tell(event_id, [])
    forget_event_lists()


def audit_was_made(found: Audit) -> None:
    """Tells what it found; the first rows of each check only, so that a log is not flooded."""
    for outcome in found.outcomes:
        metrics.invariant_violations.labels(check=outcome.check).set(outcome.count)
        for row in outcome.rows[:MOST_LOGGED]:
            logger.error("%s: %s", outcome.check, row)
    if not found.waiting_room_was_checked:
        logger.warning("the audit did not look at the waiting rooms: Redis does not answer")
