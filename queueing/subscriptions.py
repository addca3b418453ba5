"""Subscriptions to queues: the users who are connected to this process, and what each of them is sent.

What is the same for all is published by the admission round. Positions are read by each process for its own users, many in
one round trip: often near the front, seldom further back, and spread over time. Reading a position is a heartbeat, too: an
open connection keeps its user's position.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import Context
from uuid import UUID

from kernel.concurrency.background import run_in_background
from kernel.concurrency.threads import run_in_thread
from kernel.errors import DomainError
from kernel.realtime.channel import Message, Publication, Recipient
from kernel.realtime.close_codes import REPLACED
from kernel.realtime.hub import Subscription, hub
from queueing import realtime, services
from queueing.estimates import estimate_wait
from queueing.passes import sign_pass
from queueing.services import QueuePosition
from queueing.states import QueueState
from queueing.store import MAX_USERS_PER_CALL

FRONT_POSITIONS = 100  # up to here positions are read often
# From one reading to the next, in seconds, at random between the two. With REFRESH_SECONDS the longest still keeps what the
# wire contract promises: 2 s at the front, 10 s further back.
FRONT_INTERVAL, BACK_INTERVAL = (1.0, 1.7), (7.0, 9.5)
ABSENT_INTERVAL, ACTIVE_INTERVAL = (1.0, 1.7), (7.0, 9.5)  # of users who do not wait, or no longer
REFRESH_SECONDS = 0.25
MAX_RECIPIENTS = 5  # connections of one user to one event; the next one replaces the oldest
logger = logging.getLogger(__name__)


class QueueSubscriber:
    """A user with open connections to the queue of one event. `position` is 0 if the user does not wait."""

    __slots__ = ("due", "pass_", "position", "recipients", "state", "ticket", "user_id")

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.recipients: list[Recipient] = []
        self.due = float("inf")  # when the position is read next, monotonic; not before the first state is known
        self.state = ""  # as on the wire; empty until it is known
        self.position = 0
        self.pass_ = self.ticket = ""

    def send(self, message: Message) -> None:
        self.on_publication(Publication([message]))

    def on_publication(self, publication: Publication) -> None:
        for recipient in self.recipients:
            recipient.on_publication(publication)

    def set_due(self, interval: tuple[float, float]) -> None:
        self.due = _after(interval)


class QueueChannel:
    """The queue of an event, as far as its users are connected to this process: source and subscriber of one channel."""

    kind = "queue"

    def __init__(self, event_id: UUID) -> None:
        self.event_id = event_id
        self._subscribers: dict[str, QueueSubscriber] = {}
        self._opening: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._subscription: Subscription | None = None
        self._update: Message | None = None  # the latest queue-updated that was not sent yet
        self._update_sent_at = 0.0

    async def subscribe(self, user_id: str, recipient: Recipient) -> Callable[[], None]:
        """Sends what concerns the user to `recipient`, until the returned function is called. Raises
        WaitingRoomUnavailable."""
        subscriber = self._subscribers.setdefault(user_id, QueueSubscriber(user_id))
        subscriber.recipients.append(recipient)
        for oldest in subscriber.recipients[
            :-MAX_RECIPIENTS
        ]:  # may be several: they stay until their clients have closed
            oldest.drop(REPLACED, "replaced")
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())

        def cancel() -> None:
            subscriber.recipients.remove(recipient)
            if not subscriber.recipients and self._subscribers.get(user_id) is subscriber:
                del self._subscribers[user_id]
            if not self._subscribers:
                self._close()

        try:
            await asyncio.shield(self._opening)  # before the state is read: an admission after that is published
            await self._refresh_state(subscriber, only=recipient)
        except BaseException:
            cancel()
            raise
        return cancel

    async def _open(self) -> None:
        self._subscription = await hub.subscribe(self, self)
        # A context of its own: not that of the first connection, whose request id it has.
        self._refreshing = asyncio.create_task(self._refresh_positions(), context=Context())

    def _close(self) -> None:
        _channels.pop(self.event_id, None)
        for task in (self._opening, self._refreshing):
            if task is not None:
                task.cancel()
        if self._subscription is not None:
            self._subscription.cancel()

    # --- The channel: what is published for all ------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return realtime.channel(self.event_id)

    async def current_version(self, *, redis_was_restarted: bool) -> int:  # noqa: ARG002 - a ChannelSource's
        return 0

    def hello(self, version: int) -> Message:  # noqa: ARG002 - a ChannelSource's
        return {"type": "hello"}

    def on_publication(self, publication: Publication) -> None:
        for message in publication.messages:
            match message["type"]:
                case "queue-advanced":
                    self._on_advanced(message)
                case "queue-cleared":
                    self._on_cleared(message)
                case "waitlist-advanced":
                    self._on_offers(message["offers"])
                case "hello":  # publications may have been missed
                    self._refresh_soon(self._subscribers.values())

    def _on_advanced(self, message: Message) -> None:
        self._update = realtime.queue_updated(
            self.event_id, size=message["size"], active=message["active"], threshold=message["threshold"]
        )
        self._send_update()
        admitted = message["admitted"]
        for user_id, until in admitted:
            if subscriber := self._subscribers.get(user_id):
                pass_ = sign_pass(self.event_id, UUID(user_id), epoch=message["epoch"], now=message["now"], until=until)
                self._on_admitted(subscriber, pass_, until)
        if not admitted:
            return
        waiting = [subscriber for subscriber in self._subscribers.values() if subscriber.position]
        for subscriber in waiting:
            subscriber.position = max(1, subscriber.position - len(admitted))
        self._refresh_soon(subscriber for subscriber in waiting if subscriber.position <= FRONT_POSITIONS)

    def _send_update(self) -> None:
        """At most once a second."""
        now = time.monotonic()
        if self._update is None or now - self._update_sent_at < 1:
            return
        publication, self._update, self._update_sent_at = Publication([self._update]), None, now
        for subscriber in self._subscribers.values():
            if subscriber.state:  # a new one gets its own position first
                subscriber.on_publication(publication)

    def _on_cleared(self, message: Message) -> None:
        publication = Publication([message])
        for subscriber in self._subscribers.values():
            subscriber.state, subscriber.position = "none", 0
            subscriber.pass_ = subscriber.ticket = ""
            subscriber.on_publication(publication)
        run_in_background(self._note_told(list(self._subscribers)))

    async def _note_told(self, users: list[str]) -> None:
        """So that their next connections are not told of it again."""
        with suppress(DomainError):
            for start in range(0, len(users), MAX_USERS_PER_CALL):
                chunk = users[start : start + MAX_USERS_PER_CALL]
                await run_in_thread(services.take_cleared, event_id=self.event_id, users=chunk)

    def _on_offers(self, offers: Iterable[realtime.Offer]) -> None:
        for offer in offers:
            if subscriber := self._subscribers.get(offer["userId"]):
                subscriber.send(realtime.waitlist_offered(self.event_id, offer))

    def _on_admitted(self, subscriber: QueueSubscriber, pass_: str, until: int) -> None:
        subscriber.state, subscriber.position, subscriber.pass_, subscriber.ticket = "active", 0, pass_, ""
        subscriber.set_due(ACTIVE_INTERVAL)
        subscriber.send(self._entry_allowed(subscriber, pass_, until))

    def _entry_allowed(self, subscriber: QueueSubscriber, pass_: str, until: int) -> Message:
        return realtime.entry_allowed(self.event_id, user_id=subscriber.user_id, pass_=pass_, until=until)

    # --- The position of each user -------------------------------------------------------------------------------------

    def _refresh_soon(self, subscribers: Iterable[QueueSubscriber]) -> None:
        for subscriber in subscribers:
            if subscriber.state:
                subscriber.due = min(subscriber.due, _after((0.0, FRONT_INTERVAL[1])))

    async def _refresh_positions(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            self._send_update()
            now = time.monotonic()
            due = [subscriber for subscriber in self._subscribers.values() if subscriber.due <= now]
            for start in range(0, len(due), MAX_USERS_PER_CALL):
                try:
                    await self._read_positions(due[start : start + MAX_USERS_PER_CALL])
                except Exception:  # a bug must not stop the updates of this event
                    logger.exception("event %s: cannot read the positions of its users", self.event_id)

    async def _read_positions(self, subscribers: list[QueueSubscriber]) -> None:
        """In one round trip. A user whose state has changed is then looked up separately."""
        try:
            users = [subscriber.user_id for subscriber in subscribers]
            queue, positions = await run_in_thread(services.get_positions, event_id=self.event_id, users=users)
        except DomainError:
            for subscriber in subscribers:
                subscriber.set_due(FRONT_INTERVAL)
            return
        changed = []
        # No positions: the waiting room is off or closed.
        for subscriber, position in zip(subscribers, positions or [0] * len(subscribers), strict=True):
            state = subscriber.state
            if position > 0 and state == "waiting":
                self._on_waiting(subscriber, queue, position)
            elif (position == -1 and state == "active") or (position == 0 and state == "none"):
                subscriber.set_due(ACTIVE_INTERVAL if position else ABSENT_INTERVAL)
            elif queue.state == "off" and state == "active":
                subscriber.set_due(ACTIVE_INTERVAL)
            else:
                changed.append(subscriber)
        await asyncio.gather(*map(self._refresh_state_or_retry, changed))

    async def _refresh_state_or_retry(self, subscriber: QueueSubscriber) -> None:
        try:
            await self._refresh_state(subscriber)
        except DomainError:
            subscriber.set_due(FRONT_INTERVAL)

    async def _refresh_state(self, subscriber: QueueSubscriber, only: Recipient | None = None) -> None:
        """Reads the user's state, with the pass and the ticket: they restore a position that Redis has lost.

        `only`: a new connection, which is sent the position, and that its user is admitted, whether or not it has changed.
        """
        visitor = services.identify_visitor(
            event_id=self.event_id, user_id=UUID(subscriber.user_id), pass_=subscriber.pass_, ticket=subscriber.ticket
        )
        state_before = subscriber.state
        status = await run_in_thread(services.get_status, event_id=self.event_id, visitor=visitor, limit=None)
        previous = subscriber.state
        queue = status.queue
        subscriber.state, subscriber.pass_, subscriber.ticket = _wire_state(queue), status.pass_, status.ticket
        subscriber.position = queue.position
        if only is not None:
            only.send(self._position_message(status))
        if queue.state == "active" and previous in ("waiting", "none"):
            self._on_admitted(subscriber, status.pass_, queue.admitted_until)
        elif queue.state == "active" and only is not None and previous == state_before:
            # It may have been between two connections when it was admitted.
            only.send(self._entry_allowed(subscriber, status.pass_, queue.admitted_until))
            subscriber.set_due(ACTIVE_INTERVAL)
        elif queue.state == "waiting":
            self._on_waiting(subscriber, queue, queue.position, is_sent=only is not None)
        else:
            if previous not in ("", subscriber.state):
                subscriber.send(self._position_message(status))
            elif only is not None and queue.state == "none":
                await self._tell_if_cleared(subscriber, only)
            subscriber.set_due(ACTIVE_INTERVAL if subscriber.state == "active" else ABSENT_INTERVAL)

    async def _tell_if_cleared(self, subscriber: QueueSubscriber, recipient: Recipient) -> None:
        """The user may have been between two connections when the queue was cleared."""
        with suppress(DomainError):
            if await run_in_thread(services.take_cleared, event_id=self.event_id, users=[subscriber.user_id]):
                recipient.send(realtime.queue_cleared(self.event_id))

    def _on_waiting(
        self, subscriber: QueueSubscriber, queue: QueueState, position: int, *, is_sent: bool = False
    ) -> None:
        subscriber.position = position
        subscriber.set_due(FRONT_INTERVAL if position <= FRONT_POSITIONS else BACK_INTERVAL)
        if not is_sent:
            own = queue._replace(state="waiting", position=position)
            subscriber.send(self._position_message(QueuePosition(queue=own, wait=estimate_wait(own))))

    def _position_message(self, status: QueuePosition) -> Message:
        queue = status.queue
        return realtime.queue_position(
            self.event_id,
            position=None if queue.state == "waiting" and queue.is_before_opening else queue.position,
            size=queue.size,
            wait=status.wait.seconds if status.wait else 0,
            state=_wire_state(queue),
            pass_=status.pass_,
            until=queue.admitted_until,
        )


def _wire_state(queue: QueueState) -> str:
    """Without a waiting room everybody is active."""
    return {"off": "active", "closed": "none"}.get(queue.state, queue.state)


def _after(interval: tuple[float, float]) -> float:
    return time.monotonic() + random.uniform(*interval)  # noqa: S311 - no secret


_channels: dict[UUID, QueueChannel] = {}


async def subscribe(*, event_id: UUID, user_id: str, recipient: Recipient) -> Callable[[], None]:
    """Sends what concerns this user in the queue of the event to `recipient`, until the returned function is called.

    Raises EventNotFound, WaitingRoomUnavailable.
    """
    if event_id not in _channels:
        await run_in_thread(
            services.get_queue_state, event_id=event_id
        )  # no subscription in Redis for events that do not exist
    return await _channels.setdefault(event_id, QueueChannel(event_id)).subscribe(user_id, recipient)
