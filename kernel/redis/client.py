"""Redis: the shared client, and what happens when it does not answer.

Everything that talks to Redis goes through `execute`: a server that hangs costs a few requests one time-out each, then a
circuit breaker answers at once until it is back. What must not be lost meanwhile (that something cached is old) is owed,
and done before anything else as soon as Redis answers again.
"""

import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import hiredis
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from kernel.concurrency.circuit_breaker import BreakerOpen, CircuitBreaker
from kernel.redis.connection import client as client

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")
logger = logging.getLogger(__name__)


class RedisUnavailable(Exception):
    """Redis does not answer, or answers that it can not work."""


# A refused command is a bug or a busy server, not a dead one: only lost connections and time-outs open the breaker.
_breaker = CircuitBreaker(failures=3, rest=1.0, counts=(RedisConnectionError, RedisTimeoutError, OSError))
_CAN_NOT_WORK = ("LOADING", "BUSY", "MISCONF", "OOM", "READONLY")


def execute_now(command: Callable[["Redis"], Result]) -> Result:
    return guarded(lambda: command(client()))


def guarded(call: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
    try:
        return _breaker.call(call, *args, **kwargs)
    except (BreakerOpen, RedisError, hiredis.HiredisError, OSError) as error:
        if isinstance(error, ResponseError) and not str(error).startswith(_CAN_NOT_WORK):
            raise
        global _last_outage
        _last_outage = time.monotonic()
        raise RedisUnavailable(str(error)) from error


_last_outage = float("-inf")


def was_away_since(moment: float) -> bool:
    """Whether this process has found Redis unreachable since then (`time.monotonic`). It may have forgotten everything."""
    return _last_outage >= moment
