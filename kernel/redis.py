"""Redis: the shared client, and what happens when it does not answer.

Everything that talks to Redis goes through `attempt`: a server that hangs costs a few requests one time-out each, then a
circuit breaker answers at once until it is back. What must not be lost meanwhile (that something cached is old) is owed,
and done before anything else as soon as Redis answers again.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from threading import Lock
from typing import Any, ParamSpec, TypeVar

import hiredis
from django.conf import settings
from redis import Redis
from redis.commands.core import Script
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from kernel.breaker import BreakerOpen, CircuitBreaker
from kernel.redis_connection import ask
from kernel.redis_connection import client as client

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")
logger = logging.getLogger(__name__)


class RedisUnavailable(Exception):
    """Redis does not answer, or answers that it can not work."""


# A refused command is a bug or a busy server, not a dead one: only lost connections and time-outs open the breaker.
_breaker = CircuitBreaker(failures=3, rest=1.0, counts=(RedisConnectionError, RedisTimeoutError, OSError))
_CAN_NOT_WORK = ("LOADING", "BUSY", "MISCONF", "OOM", "READONLY")


def attempt(command: Callable[["Redis"], Result]) -> Result:
    """`command(client)`; raises RedisUnavailable when Redis can not be reached or refuses to work."""
    if _owed:
        _pay()
    return _attempt(command)


def attempt_or_owe(what: str, command: Callable[["Redis"], object]) -> None:
    """The same, but if Redis is away `command` is kept, one for each `what`, and done before the next one that succeeds."""
    try:
        attempt(command)
    except RedisUnavailable:
        with _owed_lock:
            if len(_owed) < MOST_OWED:
                _owed[what] = command


MOST_OWED = 10_000  # beyond that, what is old lives as long as caches live
_owed: dict[str, Callable[["Redis"], object]] = {}
_owed_lock = Lock()


def _pay() -> None:
    """Does what is owed. Raises RedisUnavailable, and then all that is not done stays owed."""
    with _owed_lock:
        debts = dict(_owed)
        _owed.clear()
    for what, command in list(debts.items()):
        try:
            _attempt(command)
        except RedisUnavailable:
            with _owed_lock:
                _owed.update({**debts, **_owed})
            raise
        except Exception:  # a fault of ours must not come up again with every request
            logger.exception("%s: given up", what)
        del debts[what]


def _attempt(command: Callable[["Redis"], Result]) -> Result:
    return _guarded(lambda: command(client()))


def _guarded(call: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
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


class LuaScript:
    """A Lua script, sent by its hash; loaded again by itself after Redis was restarted."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._hash = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, *, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """Runs in one round trip. Raises RedisUnavailable."""
        if _owed:
            _pay()
        return _guarded(self._ask, keys, args)

    def _ask(self, keys: Sequence[str], args: Sequence[Any]) -> Any:
        reply = ask(hiredis.pack_command(("EVALSHA", self._hash, len(keys), *keys, *args)))
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
            reply = ask(hiredis.pack_command(("EVAL", self._source, len(keys), *keys, *args)))
        if isinstance(reply, hiredis.ReplyError):
            raise ResponseError(str(reply))
        return reply

    def run(self, redis: "Redis", *, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """The same by a given client or in its pipeline, inside of an attempt."""
        return self._registered(keys=keys, args=args, client=redis)

    @cached_property
    def _registered(self) -> Script:
        return client().register_script(self._source)


def event_key(template: str, event_id: object, *rest: object) -> str:
    """`queue:{event_id}` and the like: the id goes in the first place of the template, with a hash tag if so set.

    With REDIS_HASH_TAGS all keys of an event live in one slot of a Redis Cluster.
    """
    tagged = f"{{{event_id}}}" if settings.REDIS_HASH_TAGS else str(event_id)
    return template.format(tagged, *rest)
