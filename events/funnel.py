"""`funnel:{eventId}`: how many views of an event there were, how many reservations, and how many of these were paid.

The counts are hints for organisers, kept for LIFE_SECONDS after the last one. PostgreSQL knows what was sold.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from threading import Lock
from typing import Any, Literal
from uuid import UUID

from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import execute
from kernel.redis.scripts import tagged_key

Stage = Literal["viewed", "reserved", "paid"]
STAGES: tuple[Stage, ...] = ("viewed", "reserved", "paid")
EVENTS = "funnel:events"  # the events that have a funnel
LIFE_SECONDS = 30 * 86_400
VIEWS_SECONDS = 1.0  # there are many views, so that each process writes them together, once a second


def funnel_key(event_id: UUID | str) -> str:
    return tagged_key("funnel:{}", event_id)


# The scripts that publish a reservation count it in the same round trip: see seats/lua. These two functions count the rest.


def count_stage(event_id: UUID, stage: Stage) -> None:
    """Counts one. One round trip; lost while Redis is away."""
    _write(Counter({event_id: 1}), stage)


_views: Counter[UUID] = Counter()
_views_lock = Lock()
_written_at = 0.0


def count_view(event_id: UUID) -> None:
    """Counts a view. Call only for events that exist."""
    global _written_at
    with _views_lock:
        _views[event_id] += 1
        if time.monotonic() - _written_at < VIEWS_SECONDS:
            return
        _written_at = time.monotonic()
        views = _views.copy()
        _views.clear()
    _write(views, "viewed")


def _write(counts: Counter[UUID], stage: Stage) -> None:
    def write(redis: Any) -> None:
        pipeline = redis.pipeline(transaction=False)
        for event_id, times in counts.items():
            pipeline.hincrby(funnel_key(event_id), stage, times)
            pipeline.expire(funnel_key(event_id), LIFE_SECONDS)
            pipeline.sadd(EVENTS, str(event_id))
        pipeline.execute()

    with suppress(RedisUnavailable):
        execute(write)


def funnels() -> Iterator[tuple[str, dict[Stage, int]]]:
    """Event id and count by stage, of every event that has a funnel. Raises RedisUnavailable."""

    def read(redis: Any) -> list[tuple[str, list[bytes | None]]]:
        events = sorted(event.decode() for event in redis.smembers(EVENTS))
        pipeline = redis.pipeline(transaction=False)
        for event in events:
            pipeline.hmget(funnel_key(event), STAGES)
        return list(zip(events, pipeline.execute(), strict=True))

    for event, found in execute(read):
        yield event, {stage: int(times or 0) for stage, times in zip(STAGES, found, strict=True)}
