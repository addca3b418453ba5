"""`/ws/queue/<eventId>`: the queue as one user sees it, and the admission of that user."""

from collections.abc import Callable

from kernel.realtime.consumers import SocketConsumer
from queueing import subscriptions


class QueueConsumer(SocketConsumer):
    """With a token. An open connection keeps its user's position or admission alive."""

    kind = "queue"
    cancel: Callable[[], None] | None = None

    async def subscribe(self) -> None:
        event_id = self.parse_event_id()
        user = await self.authenticate()
        self.cancel = await subscriptions.subscribe(event_id=event_id, user_id=user.user_id, recipient=self.writer)

    def unsubscribe(self) -> None:
        if self.cancel is not None:
            self.cancel()
