"""A thin connection to Redis for the commands of every request: opened by redis-py, then used without it.

For a short command, two thirds of the CPU time is redis-py's own (retries, events, metrics, layers of parsing). Here a
command is packed, sent, received and parsed, all of it in C.
"""

import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import hiredis
from django_redis import get_redis_connection
from redis import Redis
from redis.exceptions import RedisError

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
