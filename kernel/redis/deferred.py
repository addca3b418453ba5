"""Commands while Redis is down: refused, or deferred until it is back."""

import logging
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

import hiredis
from redis import Redis
from redis.exceptions import ResponseError

from kernel.redis.client import RedisUnavailable, ask, execute_now, guard
from kernel.redis.connection import client as client

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


def execute(command: Callable[["Redis"], Result]) -> Result:
    """`command(client)`; raises RedisUnavailable when Redis cannot be reached or refuses to work."""
    if pending:
        flush()
    return execute_now(command)


def run_command(*parts: str | int | float | bytes | memoryview) -> Any:
    """The reply to one command, over the connection that all threads share. Raises RedisUnavailable, ResponseError."""
    if pending:
        flush()
    with guard:
        reply = ask(hiredis.pack_command(parts))  # type: ignore[arg-type]  # the stub allows one part only
        if isinstance(reply, hiredis.ReplyError):
            raise ResponseError(str(reply))
    return reply


def execute_or_defer(what: str, command: Callable[["Redis"], object]) -> None:
    """The same, but if Redis is down `command` is deferred, one for each `what`, and run when Redis is back."""
    try:
        execute(command)
    except RedisUnavailable:
        with _lock:
            if len(pending) < MAX_PENDING:
                pending[what] = command


MAX_PENDING = 10_000  # beyond that, cached data may be outdated for as long as caches live
pending: dict[str, Callable[["Redis"], object]] = {}
_lock = Lock()


def flush() -> None:
    """Runs the pending commands. Raises RedisUnavailable, and then those that have not run stay pending."""
    with _lock:
        commands = dict(pending)
        pending.clear()
    for what, command in list(commands.items()):
        try:
            execute_now(command)
        except RedisUnavailable:
            with _lock:
                pending.update({**commands, **pending})
            raise
        except Exception:  # a bug of ours must not come up again with every request
            logger.exception("%s: given up", what)
        del commands[what]
