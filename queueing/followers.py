"""Who in this process follows a line: what each is told, and when it is looked where they stand.

What all hear is published by the tick. Where each stands this process asks itself, for many users in one round trip: near
the front often, far back seldom, spread out over time. To be looked after is a sign of life, too: an open socket keeps its
user's place.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable
from contextvars import Context
from uuid import UUID

from kernel.concurrency.threads import in_thread
from kernel.errors import DomainError
from kernel.realtime.consumers import REPLACED
from kernel.realtime.hub import hub
from kernel.realtime.publications import Message, News
from kernel.realtime.writer import Receiver
from queueing import realtime, services
from queueing.estimates import estimate_wait
from queueing.passes import sign_pass
from queueing.services import QueuePosition
from queueing.states import QueueState
from queueing.store import MAX_USERS_PER_CALL

FRONT = 100  # positions that are looked up often
# From one look to the next, in seconds. The longest still keeps the wire contract's 2 and 10 s.
FRONT_EVERY, BACK_EVERY, OUTSIDE_EVERY, INSIDE_EVERY = (1.0, 1.7), (7.0, 9.5), (1.0, 1.7), (7.0, 9.5)
LOOK_SECONDS = 0.25
logger = logging.getLogger(__name__)
MAX_TABS = 5  # of one user for one event; the next replaces the oldest


class Follower:
    """A user with open sockets. `place` is 0 for who does not wait."""

    __slots__ = ("due", "outboxes", "pass_", "place", "state", "ticket", "user_id")

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.outboxes: list[Receiver] = []
        self.due = float("inf")  # until it was first looked where the user stands
        self.state = ""
        self.place = 0
        self.pass_ = self.ticket = ""

    def tell(self, message: Message) -> None:
        news = News([message])
        for outbox in self.outboxes:
            outbox.hear(news)


class Line:
    """An event's line, as far as it has sockets in this process."""

    kind = "queue"

    def __init__(self, event_id: UUID) -> None:
        self.event_id = event_id
        self._followers: dict[str, Follower] = {}
        self._listening: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._leave: Callable[[], None] | None = None
        self._update: Message | None = None  # to be told
        self._updated = 0.0

    async def follow(self, user_id: str, outbox: Receiver) -> Callable[[], None]:
        """From now on the outbox is told what concerns its user. Returns what ends it. Raises WaitingRoomUnavailable."""
        follower = self._followers.setdefault(user_id, Follower(user_id))
        follower.outboxes.append(outbox)
        for oldest in follower.outboxes[:-MAX_TABS]:  # some may be closing still, for as long as their clients take
            oldest.close_with(REPLACED, "replaced")
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())

        def leave() -> None:
            follower.outboxes.remove(outbox)
            if not follower.outboxes and self._followers.get(user_id) is follower:
                del self._followers[user_id]
            if not self._followers:
                self._end()

        try:
            await asyncio.shield(self._listening)  # before looking: who is let in from then on is told
            await self._visit(follower, only=outbox)
        except BaseException:
            leave()
            raise
        return leave

    async def _listen(self) -> None:
        self._leave, _ = await hub.listen(self, self)
        self._looking = asyncio.create_task(self._look_around(), context=Context())  # not the first follower's

    def _end(self) -> None:
        lines.pop(self.event_id, None)
        for task in (self._listening, self._looking):
            if task is not None:
                task.cancel()
        if self._leave is not None:
            self._leave()

    # --- What is published --------------------------------------------------------------------------------------------

    @property
    def channel(self) -> str:
        return realtime.channel(self.event_id)

    async def version(self, *, redis_was_restarted: bool) -> int:  # noqa: ARG002 - a Feed's
        return 0

    def hello(self, version: int) -> Message:  # noqa: ARG002 - a Feed's
        return {"type": "hello"}

    def hear(self, news: News) -> None:
        for message in news.messages:
            match message["type"]:
                case "line-moved":
                    self._moved(message)
                case "queue-cleared":
                    self._cleared(message)
                case "hello":  # something may have been missed
                    self._look_soon(self._followers.values())

    def _moved(self, message: Message) -> None:
        self._update = realtime.updated(
            self.event_id, size=message["size"], inside=message["inside"], threshold=message["threshold"]
        )
        self._tell_update()
        admitted = message["admitted"]
        for user_id, until in admitted:
            if follower := self._followers.get(user_id):
                pass_ = sign_pass(self.event_id, UUID(user_id), epoch=message["epoch"], now=message["now"], until=until)
                self._let_in(follower, pass_, until)
        if admitted:
            near = []
            for follower in self._followers.values():
                if follower.place:
                    follower.place = max(1, follower.place - len(admitted))
                    if follower.place <= FRONT:
                        near.append(follower)
            self._look_soon(near)

    def _tell_update(self) -> None:
        """At most once a second."""
        now = time.monotonic()
        if self._update is not None and now - self._updated >= 1:
            news, self._update, self._updated = News([self._update]), None, now
            for follower in self._followers.values():
                if follower.state:  # who has just come hears the own position first
                    for outbox in follower.outboxes:
                        outbox.hear(news)

    def _cleared(self, message: Message) -> None:
        news = News([message])
        for follower in self._followers.values():
            follower.state, follower.place = "none", 0
            follower.pass_ = follower.ticket = ""
            for outbox in follower.outboxes:
                outbox.hear(news)

    def _let_in(self, follower: Follower, pass_: str, until: int) -> None:
        follower.state, follower.place, follower.pass_, follower.ticket = "active", 0, pass_, ""
        follower.due = _after(INSIDE_EVERY)
        follower.tell(realtime.entry_allowed(self.event_id, user_id=follower.user_id, pass_=pass_, until=until))

    # --- Where each stands --------------------------------------------------------------------------------------------

    def _look_soon(self, followers: Iterable[Follower]) -> None:
        for follower in followers:
            if follower.state:
                follower.due = min(follower.due, _after((0.0, FRONT_EVERY[1])))

    async def _look_around(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._tell_update()
            now = time.monotonic()
            due = [follower for follower in self._followers.values() if follower.due <= now]
            for start in range(0, len(due), MAX_USERS_PER_CALL):
                try:
                    await self._look(due[start : start + MAX_USERS_PER_CALL])
                except Exception:  # a fault of ours must not stop the line
                    logger.exception("event %s: followers can not be looked after", self.event_id)

    async def _look(self, followers: list[Follower]) -> None:
        """Where these stand, in one round trip; who is not where they were is visited."""
        try:
            users = [follower.user_id for follower in followers]
            found, places = await in_thread(services.get_positions, event_id=self.event_id, users=users)
        except DomainError:
            for follower in followers:
                follower.due = _after(FRONT_EVERY)
            return
        changed = []
        for follower, place in zip(followers, places or [0] * len(followers), strict=True):
            if place > 0 and follower.state == "waiting":
                self._stands(follower, found, place)
            elif (place == -1 and follower.state == "active") or (place == 0 and follower.state == "none"):
                follower.due = _after(INSIDE_EVERY if place else OUTSIDE_EVERY)
            elif found.state == "off" and follower.state == "active":
                follower.due = _after(INSIDE_EVERY)
            else:
                changed.append(follower)
        await asyncio.gather(*map(self._visit_later, changed))

    async def _visit_later(self, follower: Follower) -> None:
        try:
            await self._visit(follower)
        except DomainError:
            follower.due = _after(FRONT_EVERY)

    async def _visit(self, follower: Follower, only: Receiver | None = None) -> None:
        """Looks where one stands, with what was given to keep: it brings back a place that was lost."""
        visitor = services.identify_visitor(
            event_id=self.event_id, user_id=UUID(follower.user_id), pass_=follower.pass_, ticket=follower.ticket
        )
        standing = await in_thread(services.get_status, event_id=self.event_id, visitor=visitor)
        was = follower.state
        found = standing.queue
        follower.state, follower.pass_, follower.ticket = _state(found), standing.pass_, standing.ticket
        follower.place = found.position
        if only is not None:
            only.tell(self._position(standing))
        if found.state == "active" and was in ("waiting", "none"):
            self._let_in(follower, standing.pass_, found.admitted_until)
        elif found.state == "waiting":
            self._stands(follower, found, found.position, is_told=only is not None)
        else:
            if was not in ("", follower.state):
                follower.tell(self._position(standing))
            follower.due = _after(INSIDE_EVERY if follower.state == "active" else OUTSIDE_EVERY)

    def _stands(self, follower: Follower, found: QueueState, place: int, *, is_told: bool = False) -> None:
        follower.place = place
        follower.due = _after(FRONT_EVERY if place <= FRONT else BACK_EVERY)
        if not is_told:
            standing = found._replace(state="waiting", position=place)
            follower.tell(self._position(QueuePosition(queue=standing, wait=estimate_wait(standing))))

    def _position(self, standing: QueuePosition) -> Message:
        found = standing.queue
        return realtime.position(
            self.event_id,
            place=None if found.state == "waiting" and found.is_before_opening else found.position,
            size=found.size,
            wait=standing.wait.seconds if standing.wait else 0,
            state=_state(found),
            pass_=standing.pass_,
            until=found.admitted_until,
        )


def _state(found: QueueState) -> str:
    """On the wire. Without a waiting room everybody is in."""
    return {"off": "active", "closed": "none"}.get(found.state, found.state)


def _after(seconds: tuple[float, float]) -> float:
    return time.monotonic() + random.uniform(*seconds)  # noqa: S311 - no secret


lines: dict[UUID, Line] = {}


async def follow(*, event_id: UUID, user_id: str, outbox: Receiver) -> Callable[[], None]:
    """The outbox is told what concerns this user in the event's line. Returns what ends it.

    Raises EventNotFound, WaitingRoomUnavailable.
    """
    if event_id not in lines:
        await in_thread(services.get_queue_state, event_id=event_id)  # nobody listens to events that do not exist
    return await lines.setdefault(event_id, Line(event_id)).follow(user_id, outbox)
