"""Redis behind a circuit breaker: a server that hangs costs a few requests one timeout each, then calls fail at once."""

import os
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import hiredis
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
from kernel.redis.connection import SharedConnection, client

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
