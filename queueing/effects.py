"""What follows from a tick. Everything here is safe to lose: the next tick asks again."""

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import orjson

from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import execute
from kernel.tasks.enqueue import enqueue
from queueing import realtime
from queueing.waiting_room import Tick

# What was last told of each event that is looked after, by this process.
_told: dict[UUID, tuple[int, int, int]] = {}


def line_moved(event_id: UUID, tick: Tick, admitted: Sequence[tuple[str, int, int]]) -> None:
    """Tells those who wait, while somebody does, and everybody when figures have changed."""
    figures = tick.size, tick.inside, tick.threshold
    if admitted or tick.size or _told.get(event_id) != figures:
        _publish(event_id, realtime.queue_advanced(tick, admitted))
    _told[event_id] = figures
    if tick.nobody_is_left:
        del _told[event_id]


def line_was_cleared(event_id: UUID) -> None:
    _publish(event_id, realtime.queue_cleared(event_id))


def _publish(event_id: UUID, message: realtime.Message) -> None:
    published = orjson.dumps({"messages": [message]})
    with suppress(RedisUnavailable):
        execute(lambda redis: redis.publish(realtime.channel(event_id), published))


def policy_is_old(event_id: UUID) -> None:
    enqueue("queueing.tasks.refresh_policy", expires=10, event_id=str(event_id))


def draw_was_held(event_id: UUID) -> None:
    enqueue("queueing.tasks.record_draw", expires=1, event_id=str(event_id))
