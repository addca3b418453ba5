"""Commands while Redis is unavailable: rejected, or deferred and replayed first when it returns."""

import logging
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

import hiredis
from redis import Redis
from redis.exceptions import ResponseError

from kernel.redis.client import RedisUnavailable, execute_now, execute_packed, guard

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


def execute(command: Callable[["Redis"], Result]) -> Result:
    """Return `command(client)`. Raises RedisUnavailable."""
    if pending:
        flush()
    return execute_now(command)


def run_command(*parts: str | int | float | bytes | memoryview) -> Any:
    """Return the reply to one command, over the connection that all threads share.

    Raises RedisUnavailable, and ResponseError for an error reply.
    """
    if pending:
        flush()
    with guard:
        reply = execute_packed(hiredis.pack_command(parts))  # type: ignore[arg-type]  # the stub allows one part only
        if isinstance(reply, hiredis.ReplyError):
            raise ResponseError(str(reply))
    return reply


def execute_or_defer(name: str, command: Callable[["Redis"], object]) -> None:
    """Execute `command(client)`; if Redis is unavailable, defer it. Of commands with the same name one is kept."""
    try:
        execute(command)
    except RedisUnavailable:
        with _lock:
            if len(pending) < MAX_PENDING:
                pending[name] = command


# Beyond that, invalidations are lost, and cached data may be outdated until it expires. The same happens to the pending
# commands of a process that is restarted.
MAX_PENDING = 10_000
pending: dict[str, Callable[["Redis"], object]] = {}
_lock = Lock()


def flush() -> None:
    """Run the pending commands. If Redis is unavailable, those that have not run stay pending: RedisUnavailable."""
    with _lock:
        commands = dict(pending)
        pending.clear()
    for name, command in list(commands.items()):
        try:
            execute_now(command)
        except RedisUnavailable:
            with _lock:
                pending.update({**commands, **pending})  # the newer command of a name wins
            raise
        except Exception:  # a bug; kept pending, it would fail every request
            logger.exception("deferred command dropped: %s", name)
        del commands[name]
