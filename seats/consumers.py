"""`/ws/seats/<eventId>`: every change of the seat map, of stock and of the event's status."""

from kernel.realtime.consumers import SocketConsumer
from kernel.realtime.hub import Subscription
from seats import subscriptions


class SeatConsumer(SocketConsumer):
    """Public, as the seat map is."""

    kind = "seats"
    subscription: Subscription | None = None

    async def subscribe(self) -> None:
        event_id = self.parse_event_id()
        await self.admit_visitor()
        self.subscription = await subscriptions.subscribe(event_id=event_id, subscriber=self.writer)
        # A seat map can be fetched again: a hello says that, in place of a buffer that is too big to keep.
        self.writer.on_overflow = self.subscription.hello

    def unsubscribe(self) -> None:
        if self.subscription is not None:
            self.subscription.cancel()
