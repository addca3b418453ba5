"""Lua scripts whose keys, arguments and results have names, and keys that a script may use together."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from types import MappingProxyType
from typing import Any

import hiredis
from django.conf import settings
from redis import Redis
from redis.commands.core import Script
from redis.exceptions import ResponseError

from kernel.redis import deferred
from kernel.redis.client import client, execute_packed, guard

Named = Mapping[str, Any]  # values by name; a sequence for a name that is declared with `*`
_NOTHING: Named = MappingProxyType({})

_SLICE = """local function slice(all, first, length)
    local part = {}
    for index = 1, length do part[index] = all[first + index - 1] end
    return part
end
"""
_RESULT = "local function result(fields) return {%s} end\n"


class LuaScript:
    """A Lua script, called by its hash (EVALSHA), and loaded again after Redis was restarted.

    `keys` and `args` name the local variables in which the script finds KEYS and ARGV; `*name` is a list of any length.
    With `result`, the script ends with `return result({name = value, ...})`, and a call returns those fields by name. As
    always in Redis, Lua's false and nil arrive as None, true as 1, and numbers are truncated to integers.

    `source` is the script as it is sent: the generated declarations, then `body`.
    """

    def __init__(
        self, source: str, *, keys: Sequence[str] = (), args: Sequence[str] = (), result: Sequence[str] = ()
    ) -> None:
        self.keys, self.args, self.result = tuple(keys), tuple(args), tuple(result)
        self._key_order, self._arg_order = _Order(self.keys), _Order(self.args)
        self.body = source
        self.source = "".join(self._declarations()) + source
        self._hash = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, *, keys: Named, args: Named = _NOTHING) -> Any:
        """Run the script in one round trip. Raises RedisUnavailable, and ResponseError for an error of the script."""
        if deferred.pending:
            deferred.flush()
        flat_keys, flat_args = self.flatten(keys, args)
        with guard:
            reply = self._execute(flat_keys, flat_args)
        return self.parse(reply)

    def run(self, redis: "Redis", *, keys: Named, args: Named = _NOTHING) -> Any:
        """Run the script with a redis-py client or pipeline, within `execute`. Pass the reply to `parse`."""
        flat_keys, flat_args = self.flatten(keys, args)
        return self._registered(keys=flat_keys, args=flat_args, client=redis)

    def parse(self, reply: Any) -> Any:
        """Return the fields of a reply by name, or the reply itself if the script declares or returned none."""
        if self.result and isinstance(reply, list) and len(reply) == len(self.result):
            return dict(zip(self.result, reply, strict=True))
        return reply

    # Lists are flattened into KEYS and ARGV. Their lengths are the first arguments.

    def _declarations(self) -> Iterator[str]:
        lists = [name for name in (*self.keys, *self.args) if name.startswith("*")]
        if lists:
            yield _SLICE
        lengths = {name: f"tonumber(ARGV[{index}])" for index, name in enumerate(lists, 1)}
        yield from _locals("KEYS", self.keys, lengths, first=1)
        yield from _locals("ARGV", self.args, lengths, first=1 + len(lists))
        if self.result:
            # Redis ends a reply at the first nil; false arrives as None, too.
            yield _RESULT % ", ".join(f"fields.{name} or false" for name in self.result)

    def flatten(self, keys: Named, args: Named) -> tuple[list[Any], list[Any]]:
        """Return KEYS and ARGV. Raises TypeError if a name is missing or not declared."""
        lengths: list[Any] = []
        flat_keys = self._key_order.flatten(keys, lengths)
        flat_args = self._arg_order.flatten(args, lengths)
        return flat_keys, lengths + flat_args

    def _execute(self, keys: Sequence[str], args: Sequence[Any]) -> Any:
        reply = execute_packed(hiredis.pack_command(("EVALSHA", self._hash, len(keys), *keys, *args)))
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
            reply = execute_packed(hiredis.pack_command(("EVAL", self.source, len(keys), *keys, *args)))
        if isinstance(reply, hiredis.ReplyError):
            raise ResponseError(str(reply))
        return reply

    @cached_property
    def _registered(self) -> Script:
        return client().register_script(self.source)


def _locals(table: str, names: Iterable[str], lengths: Mapping[str, str], *, first: int) -> Iterator[str]:
    """Yield the Lua declaration of a local variable for each name."""
    position, preceding = first, ""  # after a list, an index is known only when the script runs
    for name in names:
        index = f"{position}{preceding}"
        if name.startswith("*"):
            yield f"local {name[1:]} = slice({table}, {index}, {lengths[name]})\n"
            preceding += f" + {lengths[name]}"
        else:
            yield f"local {name} = {table}[{index}]\n"
            position += 1


class _Order:
    """Flattens values by name into the order of the declared names."""

    def __init__(self, names: Sequence[str]) -> None:
        self.is_list = {name.lstrip("*"): name.startswith("*") for name in names}
        # Takes a microsecond for each call, where a loop would take five.
        self._get_all = itemgetter(*names) if len(names) > 1 and not any(self.is_list.values()) else None

    def flatten(self, values: Named, lengths: list[Any]) -> list[Any]:
        """Return the values; append the length of each list to `lengths`. Raises TypeError for a wrong set of names."""
        if len(values) != len(self.is_list):
            raise self._mismatch(values)
        try:
            return list(self._get_all(values)) if self._get_all else self._flatten_lists(values, lengths)
        except KeyError:
            raise self._mismatch(values) from None

    def _flatten_lists(self, values: Named, lengths: list[Any]) -> list[Any]:
        flat: list[Any] = []
        for name, is_list in self.is_list.items():
            value = values[name]
            if is_list:
                lengths.append(len(value))
                flat += value
            else:
                flat.append(value)
        return flat

    def _mismatch(self, values: Named) -> TypeError:
        return TypeError(f"expected {sorted(self.is_list)}, got {sorted(values)}")


def tagged_key(template: str, tag: object, *rest: object) -> str:
    """Fill in a template such as `queue:{}`. With REDIS_HASH_TAGS its first value becomes a hash tag: `queue:{id}`.

    Keys with the same hash tag live in one slot of a Redis Cluster, so that one script may use them together.
    """
    hash_tag = f"{{{tag}}}" if settings.REDIS_HASH_TAGS else str(tag)
    return template.format(hash_tag, *rest)
