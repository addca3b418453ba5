"""Commands while Redis is away: refused, or kept until it is back."""

import logging
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

from redis import Redis

from kernel.redis.client import RedisUnavailable, execute_now
from kernel.redis.connection import client as client

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


def execute(command: Callable[["Redis"], Result]) -> Result:
    """`command(client)`; raises RedisUnavailable when Redis can not be reached or refuses to work."""
    flush_if_deferred()
    return execute_now(command)


def execute_or_defer(what: str, command: Callable[["Redis"], object]) -> None:
    """The same, but if Redis is away `command` is kept, one for each `what`, and done before the next one that succeeds."""
    try:
        execute(command)
    except RedisUnavailable:
        with _deferred_lock:
            if len(_deferred) < MAX_DEFERRED:
                _deferred[what] = command


MAX_DEFERRED = 10_000  # beyond that, what is old lives as long as caches live


_deferred: dict[str, Callable[["Redis"], object]] = {}


_deferred_lock = Lock()


def pay() -> None:
    """Does what is owed. Raises RedisUnavailable, and then all that is not done stays owed."""
    with _deferred_lock:
        debts = dict(_deferred)
        _deferred.clear()
    for what, command in list(debts.items()):
        try:
            execute_now(command)
        except RedisUnavailable:
            with _deferred_lock:
                _deferred.update({**debts, **_deferred})
            raise
        except Exception:  # a fault of ours must not come up again with every request
            logger.exception("%s: given up", what)
        del debts[what]


def flush_if_deferred() -> None:
    if _deferred:
        pay()
