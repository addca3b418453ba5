"""`/ws/queue/<eventId>`: who waits sees the line move, and is told when it is their turn."""

from collections.abc import Callable

from kernel.realtime.consumers import SocketConsumer
from queueing import followers


class QueueConsumer(SocketConsumer):
    """With a token. An open socket keeps its user's place."""

    kind = "queue"
    leave: Callable[[], None] = staticmethod(lambda: None)

    async def join(self) -> None:
        event_id = self.event_id()
        user = await self.user()
        self.leave = await followers.follow(event_id=event_id, user_id=user.user_id, outbox=self.outbox)

    def left(self) -> None:
        self.leave()
