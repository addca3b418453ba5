"""`funnel:{eventId}`: how many looked at an event, took places, and paid.

Counted by the operations themselves, in round trips that are made anyway. The counts are hints for organisers, kept for
LIFE_SECONDS after the last one; PostgreSQL knows what was sold.
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
from kernel.redis.keys import tagged_key

Stage = Literal["viewed", "reserved", "paid"]
STAGES: tuple[Stage, ...] = ("viewed", "reserved", "paid")
EVENTS = "funnel:events"  # the events of which something is counted
LIFE_SECONDS = 30 * 86_400
VIEWS_SECONDS = 1.0  # views are many: a process tells them together, once a second


def funnel_key(event_id: UUID | str) -> str:
    return tagged_key("funnel:{}", event_id)


def count(pipeline: Any, event_id: UUID, stage: Stage, times: int = 1) -> None:
    """Adds to a pipeline what counts."""
    key = funnel_key(event_id)
    pipeline.hincrby(key, stage, times)
    pipeline.expire(key, LIFE_SECONDS)
    pipeline.sadd(EVENTS, str(event_id))


_views: Counter[UUID] = Counter()
_views_lock = Lock()
_told_at = 0.0


def count_view(event_id: UUID) -> None:
    """Call only for events that exist."""
    global _told_at
    with _views_lock:
        _views[event_id] += 1
        if time.monotonic() - _told_at < VIEWS_SECONDS:
            return
        _told_at = time.monotonic()
        views = dict(_views)
        _views.clear()
    with suppress(RedisUnavailable):
        execute(lambda redis: _tell_views(redis.pipeline(transaction=False), views))


def _tell_views(pipeline: Any, views: dict[UUID, int]) -> None:
    for event_id, times in views.items():
        count(pipeline, event_id, "viewed", times)
    pipeline.execute()


def funnels() -> Iterator[tuple[str, dict[Stage, int]]]:
    """Event id and count by stage, of every event that is counted. Raises RedisUnavailable."""

    def read(redis: Any) -> list[tuple[str, list[bytes | None]]]:
        events = sorted(event.decode() for event in redis.smembers(EVENTS))
        pipeline = redis.pipeline(transaction=False)
        for event in events:
            pipeline.hmget(funnel_key(event), STAGES)
        return list(zip(events, pipeline.execute(), strict=True))

    for event, found in execute(read):
        yield event, {stage: int(times or 0) for stage, times in zip(STAGES, found, strict=True)}
