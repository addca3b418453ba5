"""A connection to Redis for what is asked with every request: redis-py opens it, and stays out of the way from then on.

Of the CPU time of a short command redis-py takes two thirds (retries, events, metrics, parsing in layers); Django answers
an empty view in that time. What is left here is: pack, send, receive, parse, all of which is done in C.
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

_NOT_ALL = object()


@cache
def client() -> "Redis":
    """The client on django-redis' connection pool, shared by all threads. Answers are bytes."""
    redis: Redis = get_redis_connection("default")
    return redis


class RedisConnection:
    """Not for two threads at once. Raises RedisError or OSError, and is of no use then.

    `push` is called with what Redis says unasked, which needs `protocol` 3.
    """

    def __init__(
        self,
        *,
        timeout: float | None = None,
        protocol: int | None = None,
        push: Callable[[list[Any]], None] | None = None,
    ) -> None:
        pool = client().connection_pool
        options = dict(pool.connection_kwargs)
        if timeout is not None:
            options |= {"socket_timeout": timeout, "socket_connect_timeout": timeout}
        if protocol is not None:
            options["protocol"] = protocol
        self._push = push
        self._opened: Any = pool.connection_class(**options)
        self._opened.connect()
        self._socket: socket.socket = self._opened._sock
        self._reader = hiredis.Reader(notEnoughData=_NOT_ALL)
        if not isinstance(self._socket, ssl.SSLSocket):
            _let_the_kernel_keep_time(self._socket, options.get("socket_timeout"))

    def ask(self, command: bytes) -> Any:
        """The reply, which may be a hiredis.ReplyError. What Redis has said before it has been passed on."""
        return self.ask_all([command])[0]

    def ask_all(self, commands: Sequence[bytes]) -> list[Any]:
        """The replies, in one round trip."""
        replies: list[Any] = []
        try:
            self._socket.sendall(b"".join(commands))
            while len(replies) < len(commands):
                reply = self._reader.gets()
                if reply is _NOT_ALL:
                    if not (received := self._socket.recv(65536)):
                        raise ConnectionResetError("Redis has closed the connection")
                    self._reader.feed(received)
                elif not isinstance(reply, hiredis.PushNotification):
                    replies.append(reply)
                elif self._push is not None:
                    self._push(reply)
        except BlockingIOError as error:  # what the kernel calls it
            raise TimeoutError("Redis did not answer in time") from error
        return replies

    def close(self) -> None:
        with suppress(RedisError, OSError, hiredis.HiredisError):
            self._opened.disconnect()


def _let_the_kernel_keep_time(its_socket: socket.socket, timeout: float | None) -> None:
    """Python's own time-outs cost a system call for each time that is waited."""
    its_socket.settimeout(None)
    if timeout:
        limit = struct.pack("ll", int(timeout), int(timeout % 1 * 1_000_000))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            its_socket.setsockopt(socket.SOL_SOCKET, option, limit)


class SharedConnection:
    """One connection for all threads of this process, made when it is first used. Not for two threads at once."""

    def __init__(self) -> None:
        self._connection: RedisConnection | None = None

    def ask_all(self, commands: Sequence[bytes]) -> list[Any]:
        """A connection that has died (Redis was restarted) is replaced by a new one, once; nothing else is tried again."""
        connection, self._connection = self._connection, None
        is_new = connection is None
        connection = connection or RedisConnection()
        try:
            replies = connection.ask_all(commands)
        except BaseException as error:
            connection.close()
            if is_new or not isinstance(error, ConnectionError):
                raise
            connection = RedisConnection()
            replies = connection.ask_all(commands)
        self._connection = connection
        return replies
