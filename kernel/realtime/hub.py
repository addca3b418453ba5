"""The hub: what is published in Redis reaches everybody in this process who listens.

One connection to Redis for the process, one subscription for each channel that has listeners. A publication is decoded
once and becomes one frame, which is handed to every listener; publications that have piled up share a frame.

What is published is `{"messages": [...]}`, or `{"version": N, "messages": [...]}` where each message is one version and N
the last one's. Without messages N stands for a change that can only be fetched. A listener hears a hello with the version
it starts from, and then every message. When something may have been lost it hears another hello, and fetches anew.

Our own subscription and not the channel layer's: see docs/adr/0014.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from functools import cache
from typing import Any, Protocol

import orjson
from django.conf import settings
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from kernel.realtime import metrics
from kernel.realtime.publications import Message, News
from kernel.redis.client import RedisUnavailable

SUBSCRIBED_WITHIN_SECONDS = 1.0  # else Redis is away: listeners are told to fetch anew when it is back
RETRY_SECONDS = 0.25  # between attempts to reach Redis, with as much again by chance
PING_SECONDS = 5.0
SILENCE_SECONDS = 12.0  # after which Redis is thought dead: it answers every ping
MAX_IN_A_FRAME = 200
AT_A_STRETCH = 256  # listeners; then the loop may do something else

logger = logging.getLogger(__name__)


class Listener(Protocol):
    """Whoever listens: a socket, or something that has sockets of its own."""

    def hear(self, news: News) -> None:
        """Called in the event loop: must return at once, and never raise."""


class Feed(Protocol):
    """What an app says about one of its channels."""

    @property
    def kind(self) -> str:
        """A label for metrics: one of a few."""

    @property
    def channel(self) -> str: ...

    async def version(self, *, redis_was_restarted: bool) -> int:
        """The version as of now; 0 if the channel has none. Called after the subscription stands.

        `redis_was_restarted`: what Redis counts may be older than what was told before. May raise what the one who joins
        is to be told, or RedisUnavailable.
        """

    def hello(self, version: int) -> Message:
        """The message that says from which version on a listener hears everything."""


class Topic:
    """A channel that somebody in this process listens to."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.version = 0
        self.listeners: set[Listener] = set()
        self.arrivals = 0  # those who are about to listen
        self.subscribed = asyncio.Event()
        self.missed = False  # messages, since the subscription did not stand for a while
        self.pending: deque[tuple[int | None, list[Message], float]] = deque()
        self.opening: asyncio.Task[None] | None = None
        self.telling: asyncio.Task[None] | None = None
        self._greeting: tuple[int, News] | None = None

    @property
    def greeting(self) -> News:
        """The hello of this moment."""
        if self._greeting is None or self._greeting[0] != self.version:
            self._greeting = self.version, News([self.feed.hello(self.version)])
        return self._greeting[1]

    def take(self, version: int | None, messages: list[Message]) -> None:
        """Something was published. Before the topic is open it only piles up."""
        self.pending.append((version, messages, time.perf_counter()))
        if self.telling is None and self.opening is not None and self.opening.done():
            self.telling = asyncio.create_task(self.tell())

    async def tell(self) -> None:
        """Tells the listeners all that is pending."""
        try:
            while self.pending:
                arrived = self.pending[0][2]
                news = News(self._next_messages())
                listeners = tuple(self.listeners)
                for number, listener in enumerate(listeners, 1):
                    listener.hear(news)
                    if number % AT_A_STRETCH == 0:
                        await asyncio.sleep(0)
                metrics.websocket_messages.labels(kind=self.feed.kind).inc(len(listeners))
                metrics.websocket_fanout.observe(time.perf_counter() - arrived)
        finally:
            self.telling = None

    def _next_messages(self) -> list[Message]:
        """Of what is pending, as much as fits into a frame. The topic's version is then the last one's."""
        told: list[Message] = []
        while self.pending and len(told) < MAX_IN_A_FRAME:
            version, messages, _ = self.pending.popleft()
            if version is not None:
                first = version - len(messages) + 1
                messages = [{**message, "version": first + place} for place, message in enumerate(messages)]
                self.version = version
            told += messages or [self.feed.hello(self.version)]
        return told


class Hub:
    """Of one event loop. Connects to Redis when somebody first listens."""

    def __init__(self) -> None:
        self._topics: dict[str, Topic] = {}
        self._connection: AbstractConnection | None = None
        self._running: list[asyncio.Task[None]] = []
        self._heard = 0.0  # when Redis last said something
        self._run_id: bytes | None = None  # of the Redis that was last connected
        self._was_restarted = False

    def knows(self, channel: str) -> bool:
        """Whether somebody listens already, so that listening takes no further look at anything."""
        topic = self._topics.get(channel)
        return topic is not None and topic.opening is not None and topic.opening.done()

    async def listen(self, feed: Feed, listener: Listener) -> tuple[Callable[[], None], Callable[[], News]]:
        """From now on `listener` hears everything on the feed's channel, first of all a hello.

        Returns what ends it, and what gives the hello of the moment: for a listener that can not take everything. Raises
        what `feed.version` raises.
        """
        topic = self._topics.get(feed.channel) or self._open(feed)
        topic.arrivals += 1
        try:
            if topic.opening is not None and not topic.opening.done():
                await asyncio.shield(topic.opening)
        except asyncio.CancelledError:
            topic.arrivals -= 1
            self._give_up_unheard(topic)
            raise
        topic.arrivals -= 1
        listener.hear(topic.greeting)
        topic.listeners.add(listener)

        def leave() -> None:
            topic.listeners.discard(listener)
            self._give_up_unheard(topic)

        return leave, lambda: topic.greeting

    # --- Topics -------------------------------------------------------------------------------------------------------

    def _open(self, feed: Feed) -> Topic:
        if not self._running:
            coroutines = self._stay_connected(), self._watch()
            self._running = [
                asyncio.create_task(its, context=Context()) for its in coroutines
            ]  # not the first socket's
        topic = self._topics[feed.channel] = Topic(feed)
        topic.opening = asyncio.create_task(self._bring_up(topic))
        topic.opening.add_done_callback(
            lambda task: task.cancelled() or task.exception()
        )  # who joins is told, if still here
        return topic

    async def _bring_up(self, topic: Topic) -> None:
        """Subscribes, and only then looks which version it is, so that nothing is lost in between."""
        try:
            with suppress(TimeoutError):
                await self._send("SUBSCRIBE", topic.feed.channel)
                await asyncio.wait_for(topic.subscribed.wait(), SUBSCRIBED_WITHIN_SECONDS)
            topic.missed = not topic.subscribed.is_set()
            topic.version = await topic.feed.version(redis_was_restarted=False)
        except BaseException:
            del self._topics[topic.feed.channel]
            await self._send("UNSUBSCRIBE", topic.feed.channel)
            raise
        topic.pending = deque(item for item in topic.pending if item[0] is None or item[0] > topic.version)
        if topic.pending:
            topic.telling = asyncio.create_task(topic.tell())

    async def _restate(self, topic: Topic) -> None:
        """Messages may have been lost: everybody hears a hello."""
        connection, was_restarted = self._connection, self._was_restarted
        if topic.opening is not None:
            await asyncio.wait([topic.opening])
        while connection is self._connection and self._topics.get(topic.feed.channel) is topic:
            before = topic.version
            try:
                version = await topic.feed.version(redis_was_restarted=was_restarted)
            except RedisUnavailable:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except Exception:
                logger.exception("%s can not be restated", topic.feed.channel)
                return
            topic.take(version if topic.version == before else topic.version, [])
            return

    def _give_up_unheard(self, topic: Topic) -> None:
        """Nobody listens to a channel any more: who comes next looks anew which version it is."""
        if not topic.listeners and not topic.arrivals and self._topics.get(topic.feed.channel) is topic:
            del self._topics[topic.feed.channel]
            keep(asyncio.create_task(self._send("UNSUBSCRIBE", topic.feed.channel)))

    # --- Redis --------------------------------------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        is_lost = False
        while True:
            connection = None
            try:
                connection = await self._connect()
                if is_lost:
                    logger.warning("Redis is back: %d channels are subscribed again", len(self._topics))
                is_lost = False
                await self._read(connection)
            except (RedisError, OSError, TimeoutError) as error:
                if not is_lost:
                    logger.warning("Redis is lost: %s", error)
                    metrics.websocket_subscription_losses.inc()
                is_lost = True
            except Exception:  # a fault of ours must not leave everybody deaf
                logger.exception("The subscription failed")
                is_lost = True
            finally:
                self._connection = None
                for topic in self._topics.values():
                    topic.subscribed.clear()
                    topic.missed = True
                if connection is not None:
                    with suppress(RedisError, OSError, TimeoutError):
                        await connection.disconnect(nowait=True)
            await asyncio.sleep(RETRY_SECONDS * (1 + random.random()))  # noqa: S311 - no secret

    async def _connect(self) -> AbstractConnection:
        connection: AbstractConnection = _pool().make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()  # type: ignore[no-untyped-call]
        run_id = b"unknown"
        with suppress(ResponseError):  # not everybody may ask
            await connection.send_command("INFO", "server")
            said = await connection.read_response()
            run_id = next((line for line in said.splitlines() if line.startswith(b"run_id:")), run_id)
        self._was_restarted = self._run_id is not None and (run_id != self._run_id or run_id == b"unknown")
        self._run_id = run_id
        self._connection, self._heard = connection, time.monotonic()
        if self._topics:
            await connection.send_command("SUBSCRIBE", *self._topics)
        return connection

    async def _read(self, connection: AbstractConnection) -> None:
        while True:
            answer = await connection.read_response(timeout=float("inf"))
            self._heard = time.monotonic()
            if not isinstance(answer, list):
                continue  # PONG, while nothing is subscribed
            kind, channel, said = answer[0], answer[1].decode(), answer[2] if len(answer) > 2 else None
            topic = self._topics.get(channel)
            if topic is None:
                continue
            if kind == b"message":
                try:
                    published = orjson.loads(said or b"")
                    topic.take(published.get("version"), published["messages"])
                except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
                    logger.warning("%s: not ours: %.100r", channel, said)
            elif kind == b"subscribe":
                topic.subscribed.set()
                if topic.missed:
                    topic.missed = False
                    keep(asyncio.create_task(self._restate(topic)))

    async def _send(self, *command: str) -> None:
        """Sends to Redis, if it is connected: what is not sent now follows from `_topics` when it is."""
        if self._connection is not None and self._connection.is_connected:
            with suppress(RedisError, OSError, TimeoutError):
                await self._connection.send_command(*command)

    async def _watch(self) -> None:
        """Notices when Redis is silent."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            await self._send("PING")
            connection = self._connection
            if connection is not None and time.monotonic() - self._heard > SILENCE_SECONDS:
                with suppress(RedisError, OSError, TimeoutError):
                    await connection.disconnect(nowait=True)  # which ends the reading


@cache
def _pool() -> ConnectionPool:
    """Without a time-out for reading: an idle subscription is a healthy one, and PING tells a dead one."""
    return ConnectionPool.from_url(
        settings.REDIS_URL,
        protocol=2,
        socket_timeout=None,
        socket_connect_timeout=1.0,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )


_kept: set[asyncio.Task[Any]] = set()


def keep(task: asyncio.Task[Any]) -> None:
    """The event loop holds tasks only weakly."""
    _kept.add(task)
    task.add_done_callback(_kept.discard)


hub = Hub()
