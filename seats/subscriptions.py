"""Subscriptions to the changes of an event's seat map, stock and status."""

from dataclasses import dataclass
from uuid import UUID

from kernel.concurrency.threads import run_in_thread
from kernel.realtime.channel import Message, Subscriber
from kernel.realtime.hub import Subscription, hub
from seats import realtime, selectors


@dataclass(frozen=True, slots=True)
class SeatChannelSource:
    """The channel of an event. Its version is that of the seat map."""

    event_id: UUID
    kind = "seats"

    @property
    def name(self) -> str:
        return realtime.channel(self.event_id)

    async def current_version(self, *, redis_was_restarted: bool) -> int:
        """Raises SeatMapEventNotFound; RedisUnavailable after a restart."""
        if redis_was_restarted:
            return await run_in_thread(selectors.seat_map_version_after_restart, self.event_id)
        return await run_in_thread(selectors.seat_map_version, self.event_id)

    def hello(self, version: int) -> Message:
        return realtime.hello(self.event_id, version)


async def subscribe(*, event_id: UUID, subscriber: Subscriber) -> Subscription:
    """Raises SeatMapEventNotFound."""
    source = SeatChannelSource(event_id)
    if not hub.has_open(source.name):
        await source.current_version(redis_was_restarted=False)  # no subscription in Redis for events that do not exist
    return await hub.subscribe(source, subscriber)
