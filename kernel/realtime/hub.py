"""The hub: hands what is published in Redis to every subscriber in this process.

One connection to Redis for the process, and one subscription for each channel that has subscribers. A publication is
decoded once and becomes one frame, which every subscriber gets; publications that have piled up share a frame.

A payload in Redis is `{"messages": [...]}`, or `{"version": N, "messages": [...]}` where each message is one version and N
is that of the last. Without messages N is the version of a change that can only be fetched. A subscriber first gets a hello
with the version it starts from, and then every message. After a possible gap it gets another hello, and fetches a snapshot.

Why it does not use the channel layer of Channels: docs/adr/0014.
"""

import asyncio
import logging
import random
import time
from contextlib import suppress
from contextvars import Context
from functools import cache

import orjson
from django.conf import settings
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from kernel.concurrency.background import run_in_background
from kernel.errors import Outage, Unavailable
from kernel.realtime import metrics
from kernel.realtime.channel import Channel, ChannelSource, Publication, Subscriber

CONFIRMATION_SECONDS = 1.0  # for a subscription; after that Redis counts as away, and a hello follows when it is back
RETRY_SECONDS = 0.25  # between attempts to reach Redis, with as much again at random
PING_SECONDS = 5.0
SILENCE_SECONDS = 12.0  # without a reply, although there were pings: the connection counts as dead

logger = logging.getLogger(__name__)


class Subscription:
    """A subscriber on a channel."""

    __slots__ = ("_channel", "_hub", "_subscriber")

    def __init__(self, hub: "Hub", channel: Channel, subscriber: Subscriber) -> None:
        self._hub, self._channel, self._subscriber = hub, channel, subscriber

    def hello(self) -> Publication:
        """The hello of this moment: for a subscriber that drops what it cannot keep."""
        return self._channel.hello()

    def cancel(self) -> None:
        self._channel.subscribers.discard(self._subscriber)
        self._hub.close_if_unused(self._channel)


class Hub:
    """The channels of one event loop. It connects to Redis when the first subscriber comes."""

    def __init__(self) -> None:
        self._channels: dict[str, Channel] = {}
        self._connection: AbstractConnection | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._last_reply_at = 0.0
        self._run_id: bytes | None = None  # of the Redis server that was connected last
        self._was_restarted = False

    def has_open(self, name: str) -> bool:
        """Whether the channel is open, so that another subscriber costs no round trip."""
        channel = self._channels.get(name)
        return channel is not None and channel.is_open

    async def subscribe(self, source: ChannelSource, subscriber: Subscriber) -> Subscription:
        """Sends `subscriber` a hello, and from then on everything that is published on the channel.

        Raises what `source.current_version` raises.
        """
        channel = self._channels.get(source.name) or self._open(source)
        channel.joining += 1
        try:
            if channel.opening is not None and not channel.is_open:
                await asyncio.shield(channel.opening)
            subscriber.on_publication(channel.hello())
            channel.subscribers.add(subscriber)
        finally:
            channel.joining -= 1
            self.close_if_unused(channel)
        return Subscription(self, channel, subscriber)

    # --- Channels -----------------------------------------------------------------------------------------------------

    def _open(self, source: ChannelSource) -> Channel:
        if not self._tasks:
            # A context of their own: not that of the first subscriber, whose request id it has.
            self._tasks = [
                asyncio.create_task(coroutine, context=Context())
                for coroutine in (self._stay_connected(), self._watch_for_silence())
            ]
        channel = self._channels[source.name] = Channel(source)
        channel.opening = asyncio.create_task(self._bring_up(channel))
        # Those that wait for it get the exception. When none is left it is of no interest, and asyncio must not log it.
        channel.opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        return channel

    async def _bring_up(self, channel: Channel) -> None:
        """Subscribes in Redis, and reads the version only then, so that nothing is lost in between."""
        try:
            with suppress(TimeoutError):
                await self._send("SUBSCRIBE", channel.source.name)
                await asyncio.wait_for(channel.is_subscribed.wait(), CONFIRMATION_SECONDS)
            channel.has_gap = not channel.is_subscribed.is_set()
            version = await channel.source.current_version(redis_was_restarted=False)
        except BaseException:
            del self._channels[channel.source.name]
            await self._send("UNSUBSCRIBE", channel.source.name)
            raise
        channel.open_at(version)

    async def _publish_hello(self, channel: Channel) -> None:
        """After a gap: all subscribers get a hello."""
        connection, was_restarted = self._connection, self._was_restarted
        if channel.opening is not None:
            await asyncio.wait([channel.opening])
        while connection is self._connection and self._channels.get(channel.source.name) is channel:
            before = channel.version
            try:
                version = await channel.source.current_version(redis_was_restarted=was_restarted)
            except (Unavailable, Outage) as error:
                logger.warning("cannot read the version of %s yet: %s", channel.source.name, error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except Exception:
                logger.exception("Cannot read the version of %s", channel.source.name)
                return
            # A publication may have arrived meanwhile. Its version is newer than the one that was read.
            channel.publish(version if channel.version == before else channel.version, [])
            return

    def close_if_unused(self, channel: Channel) -> None:
        """Forgets a channel without subscribers: its version is read again for the next one."""
        if not channel.subscribers and not channel.joining and self._channels.get(channel.source.name) is channel:
            del self._channels[channel.source.name]
            run_in_background(self._send("UNSUBSCRIBE", channel.source.name))

    # --- Redis --------------------------------------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        is_lost = False
        while True:
            connection = None
            try:
                connection = await self._connect()
                if is_lost:
                    logger.warning("Redis is back: subscribed to %d channels again", len(self._channels))
                is_lost = False
                await self._read(connection)
            except (RedisError, OSError, TimeoutError) as error:
                if not is_lost:
                    logger.warning("The subscription to Redis is lost: %s", error)
                    metrics.websocket_subscription_losses.inc()
                is_lost = True
            except Exception:  # a bug must not end live updates for everybody
                logger.exception("The subscription to Redis failed")
                is_lost = True
            finally:
                await self._disconnect(connection)
            await asyncio.sleep(RETRY_SECONDS * (1 + random.random()))  # noqa: S311 - no secret

    async def _connect(self) -> AbstractConnection:
        connection: AbstractConnection = _pool().make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()  # type: ignore[no-untyped-call]
        run_id = b"unknown"
        with suppress(ResponseError):  # an ACL may forbid INFO
            await connection.send_command("INFO", "server")
            info = await connection.read_response()
            run_id = next((line for line in info.splitlines() if line.startswith(b"run_id:")), run_id)
        self._was_restarted = self._run_id is not None and (run_id != self._run_id or run_id == b"unknown")
        self._run_id = run_id
        self._connection, self._last_reply_at = connection, time.monotonic()
        if self._channels:
            await connection.send_command("SUBSCRIBE", *self._channels)
        return connection

    async def _disconnect(self, connection: AbstractConnection | None) -> None:
        self._connection = None
        for channel in self._channels.values():
            channel.is_subscribed.clear()
            channel.has_gap = True
        if connection is not None:
            with suppress(RedisError, OSError, TimeoutError):
                await connection.disconnect(nowait=True)

    async def _read(self, connection: AbstractConnection) -> None:
        while True:
            reply = await connection.read_response(timeout=float("inf"))
            self._last_reply_at = time.monotonic()
            if not isinstance(reply, list):
                continue  # PONG, while nothing is subscribed
            channel = self._channels.get(reply[1].decode())
            if channel is None:
                continue  # its last subscriber has just gone
            if reply[0] == b"message":
                self._publish(channel, reply[2])
            elif reply[0] == b"subscribe":
                channel.is_subscribed.set()
                if channel.has_gap:
                    channel.has_gap = False
                    run_in_background(self._publish_hello(channel))

    def _publish(self, channel: Channel, payload: bytes) -> None:
        try:
            published = orjson.loads(payload)
            channel.publish(published.get("version"), published["messages"])
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            logger.warning("Ignored a payload on %s that is not a publication: %.100r", channel.source.name, payload)

    async def _send(self, *command: str) -> None:
        """Sends a command if Redis is connected; if not, `_connect` subscribes to all channels when it is."""
        if self._connection is not None and self._connection.is_connected:
            with suppress(RedisError, OSError, TimeoutError):
                await self._connection.send_command(*command)

    async def _watch_for_silence(self) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            await self._send("PING")
            connection = self._connection
            if connection is not None and time.monotonic() - self._last_reply_at > SILENCE_SECONDS:
                with suppress(RedisError, OSError, TimeoutError):
                    await connection.disconnect(nowait=True)  # `_read` ends, and another connection is made


@cache
def _pool() -> ConnectionPool:
    # No read timeout: an idle subscription is healthy, and PING finds a dead one.
    return ConnectionPool.from_url(
        settings.REDIS_URL,
        protocol=2,
        socket_timeout=None,
        socket_connect_timeout=1.0,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )


hub = Hub()
