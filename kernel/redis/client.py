"""Redis: the shared client, and what happens when it does not answer.

Everything that talks to Redis goes through `execute`: a server that hangs costs a few requests one time-out each, then a
circuit breaker answers at once until it is back. What must not be lost meanwhile (that something cached is old) is owed,
and done before anything else as soon as Redis answers again.
"""

import logging
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
from kernel.redis.connection import SharedConnection
from kernel.redis.connection import client as client

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


class RedisUnavailable(Exception):
    """Redis does not answer, or answers that it can not work."""


# A refused command is a bug or a busy server, not a dead one: only lost connections and time-outs open the breaker.
_breaker = CircuitBreaker(failures=3, rest=1.0, counts=(RedisConnectionError, RedisTimeoutError, OSError))
_CAN_NOT_WORK = ("LOADING", "BUSY", "MISCONF", "OOM", "READONLY")


def execute_now(command: Callable[["Redis"], Result]) -> Result:
    with guard:
        return command(client())


class _Guard:
    """A context manager around all commands: the circuit breaker, with RedisUnavailable for its failures."""

    def __enter__(self) -> None:
        try:
            _breaker.__enter__()
        except BreakerOpen as error:
            self._refuse(error)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        _breaker.__exit__(kind, error, traceback)
        if isinstance(error, RedisError | hiredis.HiredisError | OSError) and not (
            isinstance(error, ResponseError) and not str(error).startswith(_CAN_NOT_WORK)
        ):
            self._refuse(error)

    @staticmethod
    def _refuse(error: BaseException) -> None:
        global _last_outage
        _last_outage = time.monotonic()
        raise RedisUnavailable(str(error)) from error


guard = _Guard()
_last_outage = float("-inf")


def ask(command: bytes) -> Any:
    """The reply to one packed command, from any thread; it shares a round trip with others that are sent just then.

    An error reply is returned as hiredis.ReplyError. Raises RedisError or OSError.
    """
    return _batcher.ask(command)


_batcher = Batcher(SharedConnection().ask_all)


def _connect_again() -> None:
    global _batcher
    _batcher = Batcher(SharedConnection().ask_all)


os.register_at_fork(after_in_child=_connect_again)


def was_away_since(moment: float) -> bool:
    """Whether this process has found Redis unreachable since then (`time.monotonic`). It may have forgotten everything."""
    return _last_outage >= moment
