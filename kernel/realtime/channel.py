"""Channels: what is published under one name in Redis, its publications, and its subscribers in this process."""

import asyncio
import logging
import time
from collections import deque
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import orjson

from kernel.realtime import metrics

Message = dict[str, Any]

MAX_MESSAGES_PER_FRAME = 200
YIELD_AFTER = 256  # subscribers; then other tasks of the event loop get their turn

logger = logging.getLogger(__name__)


class Publication:
    """Messages that are published together. `packets` caches their Socket.IO encoding by namespace."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.packets: dict[str, Any] = {}  # see kernel.realtime.socketio.server

    @cached_property
    def frame(self) -> "TextFrame":
        """All of the messages in one frame: a single message as it is, several as a `batch`."""
        if len(self.messages) == 1:
            return encode(self.messages[0])
        return encode({"type": "batch", "messages": self.messages})


class TextFrame(dict[str, str]):
    """The ASGI event that sends a text over a WebSocket. Shared by all connections that send it: never change it."""

    def __init__(self, text: str) -> None:
        super().__init__(type="websocket.send", text=text)

    @cached_property
    def encoded(self) -> bytes:
        """The frame as it goes over the wire, from a server and without compression (RFC 6455, 5.2)."""
        payload = self["text"].encode()
        size = len(payload)
        if size < 126:
            head = bytes((0x81, size))
        elif size < 65536:
            head = b"\x81\x7e" + size.to_bytes(2, "big")
        else:
            head = b"\x81\x7f" + size.to_bytes(8, "big")
        return head + payload


def encode(message: Message) -> TextFrame:
    return TextFrame(orjson.dumps(message, default=str).decode())


class Subscriber(Protocol):
    """Receives the publications of a channel: a connection, or something that has connections of its own."""

    def on_publication(self, publication: Publication) -> None:
        """Called in the event loop. Must return at once, and never raise."""


class Recipient(Subscriber, Protocol):
    """A client's connection, to those that send it messages of its own."""

    def send(self, message: Message) -> None:
        """Returns at once."""

    @property
    def drop(self) -> "Drop": ...


class Drop(Protocol):
    def __call__(self, code: int, reason: str, /) -> None:
        """Closes the connection with this code. Returns at once."""


class ChannelSource(Protocol):
    """What an app defines of a channel: its name, its version, and the message that states a version."""

    @property
    def kind(self) -> str:
        """A label for metrics: one of a few."""

    @property
    def name(self) -> str:
        """The name of the channel in Redis."""

    async def current_version(self, *, redis_was_restarted: bool) -> int:
        """The version now; 0 if the channel has none. Called when Redis has confirmed the subscription.

        `redis_was_restarted`: versions in Redis may be older than what was published before. May raise RedisUnavailable, or
        any DomainError for the subscriber.
        """

    def hello(self, version: int) -> Message:
        """The message that says: nothing later than this version will be missed."""


class _Received(NamedTuple):
    version: int | None  # of the last of the messages; None: they have no versions
    messages: list[Message]
    at: float  # perf_counter()


class Channel:
    """A channel with at least one subscriber in this process, or one that is about to join."""

    def __init__(self, source: ChannelSource) -> None:
        self.source = source
        self.version = 0
        self.subscribers: set[Subscriber] = set()
        self.joining = 0  # subscribers that wait until the channel is open
        self.is_subscribed = asyncio.Event()  # as Redis has confirmed
        self.has_gap = False  # publications may have been missed, since the subscription was interrupted
        self.is_open = False  # the version is known, and publications are handed on
        self.opening: asyncio.Task[None] | None = None
        self._received: deque[_Received] = deque()
        self._broadcasting: asyncio.Task[None] | None = None
        self._hello: tuple[int, Publication] | None = None

    def hello(self) -> Publication:
        """States the version of this moment."""
        if self._hello is None or self._hello[0] != self.version:
            self._hello = self.version, Publication([self.source.hello(self.version)])
        return self._hello[1]

    def open_at(self, version: int) -> None:
        """Publications that arrived while the version was read are handed on if they are later than it."""
        self.version, self.is_open = version, True
        self._received = deque(item for item in self._received if item.version is None or item.version > version)
        self._start_broadcast()

    def publish(self, version: int | None, messages: list[Message]) -> None:
        """Hands messages to all subscribers: soon, and together with others that arrive meanwhile.

        Without messages `version` is that of a change which can only be fetched.
        """
        self._received.append(_Received(version, messages, time.perf_counter()))
        self._start_broadcast()

    def _start_broadcast(self) -> None:
        if self.is_open and self._received and self._broadcasting is None:
            self._broadcasting = asyncio.create_task(self._broadcast())

    async def _broadcast(self) -> None:
        try:
            while self._received:
                arrived = self._received[0].at
                publication = Publication(self._next_messages())
                subscribers = tuple(self.subscribers)
                for number, subscriber in enumerate(subscribers, 1):
                    try:
                        subscriber.on_publication(publication)
                    except Exception:  # noqa: BLE001 - a bug; the others must get the publication, and what follows it
                        self._count_failure()
                    if number % YIELD_AFTER == 0:
                        await asyncio.sleep(0)
                metrics.websocket_messages.labels(kind=self.source.kind).inc(len(subscribers))
                metrics.websocket_fanout.observe(time.perf_counter() - arrived)
        finally:
            self._broadcasting = None

    def _count_failure(self) -> None:
        logger.exception("A subscriber of %s failed", self.source.name)
        metrics.websocket_delivery_failures.labels(kind=self.source.kind).inc()

    def _next_messages(self) -> list[Message]:
        """As many of the received messages as fit into a frame. The channel's version is then that of the last one."""
        batch: list[Message] = []
        while self._received and len(batch) < MAX_MESSAGES_PER_FRAME:
            version, messages, _ = self._received.popleft()
            if version is not None:
                first = version - len(messages) + 1
                messages = [{**message, "version": first + index} for index, message in enumerate(messages)]
                self.version = version
            batch += messages or [self.source.hello(self.version)]
        return batch
