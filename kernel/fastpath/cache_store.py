"""The entries of the response cache, and the connection to Redis that invalidates them."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, NamedTuple

import hiredis
from redis.exceptions import RedisError, ResponseError

from kernel.redis.client import RedisConnection, was_unavailable_since

RETRY_SECONDS = 1.0  # after Redis could not be reached
TIMEOUT_SECONDS = 0.2
MAX_BYTES = 8_000_000
OVERHEAD_BYTES = 2_000  # of each entry, roughly

Key = tuple[str, ...]
logger = logging.getLogger(__name__)


class WSGIResponse(NamedTuple):
    """A complete response. `tag` is its ETag without the weak prefix `W/`, or empty."""

    status: str
    headers: list[tuple[str, str]]
    tag: str
    body: bytes


@dataclass(frozen=True, slots=True)
class CacheEntry:
    response: WSGIResponse  # without X-Request-Id
    redis_key: bytes  # of the dependency
    on_hit: Callable[[], object] | None
    view: str
    expires_at: float  # time.monotonic()
    made_at: float = field(default_factory=time.monotonic)


class CacheStore:
    """The cache entries of one process, shared by its threads."""

    def __init__(self) -> None:
        self._entries: dict[Key, CacheEntry] = {}
        self._bytes = 0
        self._connection: TrackingConnection | None = None
        self._lock = Lock()  # guards everything here
        self._retry_at = 0.0  # time.monotonic()
        self._sent = 0  # number of commands sent so far,
        self._confirmed = 0  # and of the last one that got a reply

    def get(self, key: Key) -> CacheEntry | None:
        """Return the entry, if nothing that it depends on was changed before this call."""
        if key not in self._entries:
            return None
        sent_before = self._sent
        with self._lock:
            # A reply to a command that another thread sent after this call began is as good as one of our own.
            if self._confirmed <= sent_before:
                self._execute(b"PING\r\n")
            entry = self._entries.get(key)
        if entry is None or entry.expires_at <= time.monotonic():
            return None
        # A server that replies to PING may still refuse the invalidations of this process: see kernel.redis.client.
        return None if was_unavailable_since(entry.made_at) else entry

    def put(self, key: Key, entry: CacheEntry, *, value: bytes) -> bool:
        """Store the entry if its dependency still has this value. Return whether it was stored."""
        # Caching is optional: while Redis keeps the other threads waiting, do not wait as well.
        if time.monotonic() < self._retry_at or not self._lock.acquire(timeout=TIMEOUT_SECONDS):
            return False
        try:
            redis_key = entry.redis_key
            if self._execute(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(redis_key), redis_key)) != value:
                return False
            self._remove(key)
            self._entries[key] = entry
            self._bytes += len(entry.response.body) + OVERHEAD_BYTES
            while self._bytes > MAX_BYTES:
                self._remove(next(iter(self._entries)))  # the oldest
            return True
        finally:
            self._lock.release()

    def _remove(self, key: Key) -> None:
        if (entry := self._entries.pop(key, None)) is not None:
            self._bytes -= len(entry.response.body) + OVERHEAD_BYTES

    def _execute(self, command: bytes) -> Any:
        """Return the reply, after invalidations that were sent before it; None if Redis cannot be reached."""
        self._sent += 1
        try:
            if self._connection is None:
                self._connection = TrackingConnection(self._invalidate)
            reply = self._connection.execute(command)
        except (RedisError, hiredis.HiredisError, OSError) as error:
            self._disconnect(error)
            return None
        self._confirmed = self._sent
        return reply

    def _invalidate(self, redis_keys: set[bytes] | None) -> None:
        for key, entry in list(self._entries.items()):
            if redis_keys is None or entry.redis_key in redis_keys:
                self._remove(key)

    def _disconnect(self, error: Exception) -> None:
        """Drop all entries: without the connection their invalidations are lost."""
        logger.warning("response cache dropped: %s", error)
        self._entries.clear()
        self._bytes = 0
        self._retry_at = time.monotonic() + RETRY_SECONDS
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class TrackingConnection(RedisConnection):
    """A connection that reports changes of the keys that were read on it (client-side caching).

    `on_invalidate` is called with the changed keys, or with None if all keys may have changed (FLUSHALL).
    """

    def __init__(self, on_invalidate: Callable[[set[bytes] | None], None]) -> None:
        def on_push(message: list[Any]) -> None:
            if message[0] == b"invalidate":
                on_invalidate(None if message[1] is None else set(message[1]))

        super().__init__(timeout=TIMEOUT_SECONDS, protocol=3, on_push=on_push)
        if isinstance(error := self.execute(b"CLIENT TRACKING ON\r\n"), hiredis.ReplyError):
            raise ResponseError(str(error))
