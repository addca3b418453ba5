"""What follows when something happened to seats and reservations. Everything here is safe to lose."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from redis import Redis

from events import funnel
from events.effects import event_was_changed
from events.selectors import event_cache_key
from kernel.caching import lease_key
from kernel.jobs import enqueue
from kernel.redis import RedisUnavailable, attempt, attempt_or_owe
from queueing import services as queueing
from seats import metrics, realtime
from seats.locks import TOUCHED_EVENTS, Hold, set_free, tell


def seats_were_locked(*, event_id: UUID, seat_ids: Sequence[UUID], hold: Hold) -> None:
    messages = [realtime.seat_changed("seat-locked", event_id=event_id, seat_id=seat) for seat in seat_ids]
    hold.let_go_and_tell(messages, "reserved")
    metrics.seats_reserved.labels(event_id=str(event_id)).inc(len(seat_ids))


def seats_were_sold(*, event_id: UUID | None, user_id: UUID, seat_ids: Sequence[UUID]) -> None:
    if event_id is None:
        return
    queueing.free_place(event_id=event_id, user_id=user_id, cause="bought")
    if seat_ids:
        tell(
            event_id, [realtime.seat_changed("seat-sold", event_id=event_id, seat_id=seat) for seat in seat_ids], "paid"
        )
    else:
        with suppress(RedisUnavailable):
            attempt(lambda redis: _count_paid(redis, event_id))
    metrics.reservations_confirmed.labels(event_id=str(event_id)).inc()


def _count_paid(redis: Redis, event_id: UUID) -> None:
    pipeline = redis.pipeline(transaction=False)
    funnel.count(pipeline, event_id, "paid")
    pipeline.execute()


def seats_were_released(*, event_id: UUID, seat_ids: Sequence[UUID]) -> None:
    messages = [realtime.seat_changed("seat-released", event_id=event_id, seat_id=seat) for seat in seat_ids]
    set_free(event_id, seat_ids, messages)


def reservation_was_cancelled(*, event_id: UUID, user_id: UUID) -> None:
    queueing.free_place(event_id=event_id, user_id=user_id, cause="cancelled")


def seats_were_generated(*, event_id: UUID) -> None:
    tell(event_id, [])


def tickets_were_taken(*, event_id: UUID, stock: Sequence[dict[str, Any]], quantity: int, hold: Hold) -> None:
    stock_has_changed(event_id=event_id, stock=stock, reserved=1)
    hold.let_go()
    metrics.tickets_reserved.labels(event_id=str(event_id)).inc(quantity)


def stock_has_changed(*, event_id: UUID, stock: Sequence[dict[str, Any]], reserved: int = 0) -> None:
    """`stock`: {id, available_quantity, total_quantity} as it is now; by so many new reservations. One round trip."""
    messages = [
        realtime.stock_changed(
            event_id=event_id,
            ticket_type_id=changed["id"],
            available=changed["available_quantity"],
            total=changed["total_quantity"],
        )
        for changed in stock
    ]
    cached = event_cache_key(event_id)

    def tell_stock(redis: Redis) -> None:
        pipeline = redis.pipeline(transaction=False)
        pipeline.delete(cached, lease_key(cached))
        pipeline.sadd(TOUCHED_EVENTS, str(event_id))
        if reserved:
            funnel.count(pipeline, event_id, "reserved", reserved)
        pipeline.publish(realtime.channel(event_id), orjson.dumps({"messages": messages}))
        pipeline.execute()

    attempt_or_owe(cached, tell_stock)


def reservations_were_ended(*, reason: str, count: int) -> None:
    metrics.reservations_ended.labels(reason=reason).inc(count)


def status_was_changed(*, event_id: UUID, status: str) -> None:
    event_was_changed(event_id)
    queueing.refresh_policy(event_id=event_id)
    message = orjson.dumps({"messages": [realtime.status_changed(event_id=event_id, status=status)]})
    with suppress(RedisUnavailable):
        attempt(lambda redis: redis.publish(realtime.channel(event_id), message))


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
