"""Redis behind a circuit breaker: a server that hangs costs a few requests one timeout each, then calls fail at once."""

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import hiredis
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from kernel.concurrency.batching import Batcher
from kernel.concurrency.circuit_breaker import BreakerOpen, CircuitBreaker
from kernel.redis.connection import SharedConnection, client

Result = TypeVar("Result")


class RedisUnavailable(Exception):
    """Redis cannot be reached, or replies that it cannot serve commands now."""


# An error reply is a bug or a busy server, not a dead one: only lost connections and timeouts open the breaker.
_breaker = CircuitBreaker(
    failure_threshold=3, reset_timeout=1.0, failure_types=(RedisConnectionError, RedisTimeoutError, OSError)
)
_NOT_SERVING = ("LOADING", "BUSY", "MISCONF", "OOM", "READONLY")  # error replies that mean "unavailable"


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
        if isinstance(error, RedisError | hiredis.HiredisError | OSError) and not (
            isinstance(error, ResponseError) and not str(error).startswith(_NOT_SERVING)
        ):
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
