"""Effects of changes of seats and of the status of events. Everything here is safe to lose."""

from contextlib import suppress
from datetime import datetime
from uuid import UUID

from events.selectors import forget_event_and_lists
from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import execute
from kernel.tasks.enqueue import enqueue
from queueing import services as queueing
from seats.publishing import publish_map_changed, publish_status


def seats_were_generated(*, event_id: UUID) -> None:
    publish_map_changed(event_id=event_id)


def status_was_changed(*, event_id: UUID, status: str, change: int) -> None:
    forget_event_and_lists(event_id)
    queueing.refresh_policy(event_id=event_id)
    publish_status(event_id=event_id, status=status, change=change)


def status_will_change(at: datetime) -> None:
    """Enqueues the update of statuses for that moment: once, however often the moment is computed."""
    moment = f"events:wake-up:{at.timestamp():.3f}"
    with suppress(RedisUnavailable):
        if execute(lambda redis: redis.set(moment, 1, nx=True, ex=120)):
            enqueue("seats.tasks.update_statuses", at=at)


def event_was_saved(*, event_id: UUID) -> None:
    """An organiser has created or edited an event: caches, the next change of its status, its seats."""
    forget_event_and_lists(event_id)
    queueing.refresh_policy(event_id=event_id)
    publish_map_changed(event_id=event_id)
    enqueue("seats.tasks.update_statuses", expires=30)
    enqueue("seats.tasks.generate_seats_of", event_id=str(event_id))
