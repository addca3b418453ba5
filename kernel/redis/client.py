"""Redis behind a circuit breaker: a server that hangs costs a few requests one timeout each, then calls fail at once.

The commands of every request go over a thin connection, which redis-py opens and does not handle afterwards. For a short
command, two thirds of the CPU time is redis-py's own (retries, events, metrics, layers of parsing). Here a command is
packed, sent, received and parsed, all of it in C.
"""

import os
import re
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

import hiredis
from django_redis import get_redis_connection
from redis import Redis
from redis.exceptions import (
    AskError,
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from kernel.concurrency.batching import Batcher
from kernel.concurrency.circuit_breaker import BreakerOpen, CircuitBreaker
from kernel.errors import Outage

_INCOMPLETE = object()  # what the parser returns until a reply is complete


@cache
def client() -> "Redis":
    """The redis-py client on django-redis' connection pool, shared by all threads. Replies are bytes."""
    redis: Redis = get_redis_connection("default")
    return redis


class RedisConnection:
    """One connection, for one thread at a time.

    `on_push` is called with each push message, which needs `protocol` 3. `timeout` is in seconds. Methods raise RedisError
    or OSError; afterwards the connection must be closed, since replies could belong to earlier commands.
    """

    def __init__(
        self,
        *,
        timeout: float | None = None,
        protocol: int | None = None,
        on_push: Callable[[list[Any]], None] | None = None,
    ) -> None:
        pool = client().connection_pool
        options = dict(pool.connection_kwargs)
        if timeout is not None:
            options |= {"socket_timeout": timeout, "socket_connect_timeout": timeout}
        if protocol is not None:
            options["protocol"] = protocol
        self._on_push = on_push
        self._connection: Any = pool.connection_class(**options)
        self._connection.connect()
        self._socket: socket.socket = self._connection._sock
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        if not isinstance(self._socket, ssl.SSLSocket):
            _set_kernel_timeout(self._socket, options.get("socket_timeout"))

    def execute(self, command: bytes) -> Any:
        """Return the reply to a packed command, which may be a hiredis.ReplyError.

        Push messages that Redis sent before the reply have been handled by then.
        """
        return self.execute_many([command])[0]

    def execute_many(self, commands: Sequence[bytes]) -> list[Any]:
        """Return the replies to packed commands, in one round trip (a pipeline)."""
        replies: list[Any] = []
        try:
            self._socket.sendall(b"".join(commands))
            while len(replies) < len(commands):
                reply = self._reader.gets()
                if reply is _INCOMPLETE:
                    if not (received := self._socket.recv(65536)):
                        raise ConnectionResetError("Redis has closed the connection")
                    self._reader.feed(received)
                elif not isinstance(reply, hiredis.PushNotification):
                    replies.append(reply)
                elif self._on_push is not None:
                    self._on_push(reply)
        except BlockingIOError as error:  # EAGAIN: SO_RCVTIMEO or SO_SNDTIMEO has expired
            raise TimeoutError("Redis did not reply in time") from error
        return replies

    def close(self) -> None:
        with suppress(RedisError, OSError, hiredis.HiredisError):
            self._connection.disconnect()


def _set_kernel_timeout(sock: socket.socket, timeout: float | None) -> None:
    """Let the operating system enforce the timeout: Python's own makes a system call before each read."""
    sock.settimeout(None)
    if timeout:
        limit = struct.pack("ll", int(timeout), int(timeout % 1 * 1_000_000))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            sock.setsockopt(socket.SOL_SOCKET, option, limit)


class SharedConnection:
    """The connection that all threads of this process share, opened at the first use. For one thread at a time."""

    def __init__(self) -> None:
        self._connection: RedisConnection | None = None

    def execute_many(self, commands: Sequence[bytes]) -> list[Any]:
        """Return the replies to packed commands, in one round trip."""
        connection, self._connection = self._connection, None
        is_new = connection is None
        connection = connection or RedisConnection()
        try:
            replies = connection.execute_many(commands)
        except BaseException as error:
            connection.close()
            # A connection that died while idle (Redis was restarted) is replaced once. A timeout is not retried: the
            # commands may have been executed, and a hanging server would get them twice.
            if is_new or not isinstance(error, ConnectionError):
                raise
            connection = RedisConnection()
            replies = connection.execute_many(commands)
        self._connection = connection
        return replies


Result = TypeVar("Result")


class RedisUnavailable(Outage):
    """Redis cannot be reached, or replies that it cannot serve commands now."""


# An error reply comes at once, so that nobody has to be kept from waiting: only lost connections and timeouts open the
# breaker.
_breaker = CircuitBreaker(
    failure_threshold=3, reset_timeout=1.0, failure_types=(RedisConnectionError, RedisTimeoutError, OSError)
)

# Error replies that mean "cannot now": the role, memory, disk, replicas, rights or slots of the server, or a script that
# keeps it busy. All other error replies are bugs of the caller.
_REFUSALS = (
    "ASK", "BUSY", "CLUSTERDOWN", "DENIED", "LOADING", "MASTERDOWN", "MISCONF", "MOVED", "NOAUTH", "NOPERM", "NOREPLICAS",
    "OOM", "READONLY", "TRYAGAIN", "UNBLOCKED", "WRONGPASS",
)  # fmt: skip
# The code is at the beginning; where Redis 6 wraps the error of a command in that of its script, after a hyphen; where
# redis-py names the command of a pipeline, and in EXECABORT, after a colon. Without a code are: the rights of a script's
# user in Redis 6, a script that was killed, and a server with too many clients.
_REFUSAL = re.compile(
    rf"(?:^|-|: )(?:{'|'.join(_REFUSALS)}) "
    "|The user executing the script can't |Script killed by user|max number of clients reached"
)
# redis-py removes these codes from the messages of its exceptions. READONLY, for example, it makes a ReadOnlyError.
_REFUSAL_TYPES = (AskError, ClusterDownError, NoPermissionError, OutOfMemoryError, ReadOnlyError, TryAgainError)


def _is_bug(error: BaseException) -> bool:
    """Whether Redis was well, and could not make sense of the command."""
    return (
        isinstance(error, ResponseError)
        and not isinstance(error, _REFUSAL_TYPES)
        and _REFUSAL.search(str(error)) is None
    )


def execute_now(command: Callable[["Redis"], Result]) -> Result:
    """Return `command(client)` without flushing deferred commands first. Raises RedisUnavailable."""
    with guard:
        return command(client())


class _Guard:
    """A context manager around every command: the circuit breaker, with RedisUnavailable for its failures."""

    def __enter__(self) -> None:
        try:
            _breaker.__enter__()
        except BreakerOpen as error:
            self._raise_unavailable(error)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        _breaker.__exit__(kind, error, traceback)
        if isinstance(error, RedisError | hiredis.HiredisError | OSError) and not _is_bug(error):
            self._raise_unavailable(error)

    @staticmethod
    def _raise_unavailable(error: BaseException) -> None:
        global _last_outage
        _last_outage = time.monotonic()
        raise RedisUnavailable(str(error)) from error


guard = _Guard()
_last_outage = float("-inf")


def execute_packed(command: bytes) -> Any:
    """Return the reply to a packed command, from any thread. Concurrent commands share a round trip.

    An error reply is returned as hiredis.ReplyError. Raises RedisError or OSError; call it within `guard`.
    """
    return _batcher.submit(command)


_batcher = Batcher(SharedConnection().execute_many)


def _reset_after_fork() -> None:
    """A connection that parent and child both used would mix up their replies."""
    global _batcher
    _batcher = Batcher(SharedConnection().execute_many)


os.register_at_fork(after_in_child=_reset_after_fork)


def was_unavailable_since(moment: float) -> bool:
    """Whether this process has found Redis unavailable since `moment` (time.monotonic). Its data may be lost then."""
    return _last_outage >= moment
