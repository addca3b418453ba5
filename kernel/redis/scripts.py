"""Lua scripts, sent by their hash."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import hiredis
from redis import Redis
from redis.commands.core import Script
from redis.exceptions import ResponseError

from kernel.redis import deferred
from kernel.redis.client import guarded
from kernel.redis.connection import ask
from kernel.redis.connection import client as client


class LuaScript:
    """A Lua script, sent by its hash; loaded again by itself after Redis was restarted."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._hash = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, *, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """Runs in one round trip. Raises RedisUnavailable."""
        deferred.pay_if_owed()
        return guarded(self._ask, keys, args)

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
