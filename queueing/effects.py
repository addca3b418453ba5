"""What follows from an admission round or a cleared queue. Everything here is safe to lose: the next round repeats it."""

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import orjson

from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import run_command
from kernel.tasks.enqueue import enqueue
from queueing import realtime
from queueing.states import Admission, AdmissionRound

# The figures that this process has published last, of each active event.
_published: dict[UUID, tuple[int, int, int]] = {}


def publish_round(event_id: UUID, last: AdmissionRound, admitted: Sequence[Admission]) -> None:
    """Every round while somebody waits, otherwise only when figures have changed."""
    figures = last.size, last.active, last.threshold
    if admitted or last.size or _published.get(event_id) != figures:
        _publish(event_id, realtime.queue_advanced(last, admitted))
    _published[event_id] = figures
    if last.is_empty:
        del _published[event_id]


def publish_cleared(event_id: UUID) -> None:
    _publish(event_id, realtime.queue_cleared(event_id))


def publish_offers(*, event_id: UUID, offers: Sequence[realtime.Offer]) -> None:
    """Places were offered to users who are on the waiting list of the event."""
    _publish(event_id, realtime.waitlist_advanced(offers))


def _publish(event_id: UUID, message: realtime.Message) -> None:
    published = orjson.dumps({"messages": [message]})
    with suppress(RedisUnavailable):
        run_command("PUBLISH", realtime.channel(event_id), published)


def enqueue_policy_refresh(event_id: UUID) -> None:
    enqueue("queueing.tasks.refresh_policy", expires=10, event_id=str(event_id))


def enqueue_draw_recording(event_id: UUID) -> None:
    enqueue("queueing.tasks.record_draw", expires=1, event_id=str(event_id))
