"""`/ws/seats/<eventId>`: everybody hears each change of the seat map, of stock and of the event's status."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from kernel.concurrency.threads import in_thread
from kernel.realtime.consumers import SocketConsumer
from kernel.realtime.hub import hub
from kernel.realtime.publications import Message
from seats import realtime, selectors


@dataclass(frozen=True, slots=True)
class SeatFeed:
    event_id: UUID
    kind = "seats"

    @property
    def channel(self) -> str:
        return realtime.channel(self.event_id)

    async def version(self, *, redis_was_restarted: bool) -> int:
        """Raises SeatMapEventNotFound; RedisUnavailable after a restart."""
        if redis_was_restarted:
            return await in_thread(selectors.seat_map_version_after_restart, self.event_id)
        return await in_thread(selectors.seat_map_version, self.event_id)

    def hello(self, version: int) -> Message:
        return realtime.hello(self.event_id, version)


class SeatConsumer(SocketConsumer):
    """Public, as the seat map is."""

    kind = "seats"
    leave: Callable[[], None] = staticmethod(lambda: None)

    async def join(self) -> None:
        feed = SeatFeed(self.event_id())
        if not hub.knows(feed.channel):
            await feed.version(redis_was_restarted=False)  # no subscription for events that do not exist
        self.leave, self.outbox.when_full = await hub.listen(feed, self.outbox)

    def left(self) -> None:
        self.leave()
