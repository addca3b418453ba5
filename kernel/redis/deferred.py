"""Commands while Redis is away: refused, or kept until it is back."""

import logging
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

from redis import Redis

from kernel.redis.client import RedisUnavailable, attempt_now
from kernel.redis.connection import client as client

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


def attempt(command: Callable[["Redis"], Result]) -> Result:
    """`command(client)`; raises RedisUnavailable when Redis can not be reached or refuses to work."""
    pay_if_owed()
    return attempt_now(command)


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


def pay() -> None:
    """Does what is owed. Raises RedisUnavailable, and then all that is not done stays owed."""
    with _owed_lock:
        debts = dict(_owed)
        _owed.clear()
    for what, command in list(debts.items()):
        try:
            attempt_now(command)
        except RedisUnavailable:
            with _owed_lock:
                _owed.update({**debts, **_owed})
            raise
        except Exception:  # a fault of ours must not come up again with every request
            logger.exception("%s: given up", what)
        del debts[what]


def pay_if_owed() -> None:
    if _owed:
        pay()
