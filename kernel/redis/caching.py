"""A read-through cache in Redis that is never older than the last commit.

- Single flight: of many concurrent misses one takes a lease and computes, while the others wait for its result.
- No stale writes: whoever changes cached data deletes the entry and its lease after the commit, so that a reader that
  computed its value before the commit cannot store it.
- Without Redis every reader computes its own.

Accepted imperfection: a process that is killed between its commit and `forget`, or that cannot reach Redis, leaves an
outdated entry until it can, and at most until the entry expires. That is why entries live for seconds.
"""

import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import orjson
from prometheus_client import Counter

from kernel.concurrency.bulkhead import database_bulkhead
from kernel.redis import rate_limits
from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import execute_or_defer
from kernel.redis.rate_limits import Charge, RateLimited
from kernel.redis.scripts import LuaScript, Named

LEASE_MS = 3000  # the result of a computation that takes longer is returned, but not stored
WAIT_SECONDS = 2.0  # then a reader that waits for another's computation makes its own
POLL_SECONDS = 0.01

lookups = Counter(
    "ticketservice_cache_lookups_total",
    "Lookups in the read-through cache, by the first part of the key",
    ["cache", "outcome"],
)

# response: the cached bytes. is_leased: 1 if there are none, and the caller has got the lease and must compute them.
_LOOK_UP = """
local response = redis.call('GET', response_key)
if response then return result({response = response}) end
if not redis.call('SET', lease_key, token, 'NX', 'PX', lease_ms) then return result({}) end
for _, index_key in ipairs(index_keys) do
    redis.call('SADD', index_key, response_key)
    redis.call('EXPIRE', index_key, index_seconds)
end
return result({is_leased = 1})
"""
_KEYS = ("response_key", "lease_key", "*index_keys")
_ARGS = ("token", "lease_ms", "index_seconds")
_RESULT = ("response", "is_leased")
_look_up = LuaScript(_LOOK_UP, keys=_KEYS, args=_ARGS, result=_RESULT)
_look_up_within_limit = LuaScript(
    rate_limits.SOURCE + _LOOK_UP,
    keys=(*rate_limits.KEYS, *_KEYS),
    args=(*rate_limits.ARGS, *_ARGS),
    result=_RESULT,
)

# is_stored: 0 if the lease has been lost, by expiry or by `forget`.
_store = LuaScript(
    """
if redis.call('GET', lease_key) ~= token then return result({is_stored = 0}) end
redis.call('SET', response_key, response, 'EX', seconds)
redis.call('DEL', lease_key)
return result({is_stored = 1})
""",
    keys=("response_key", "lease_key"),
    args=("token", "response", "seconds"),
    result=("is_stored",),
)

_forget_all = LuaScript(
    """
local response_keys = redis.call('SMEMBERS', index_key)
for _, response_key in ipairs(response_keys) do redis.call('DEL', response_key, response_key .. ':lease') end
redis.call('DEL', index_key)
return result({forgotten = #response_keys})
""",
    keys=("index_key",),
    result=("forgotten",),
)


def plain_key(key: str, prefix: str, version: int) -> str:  # noqa: ARG001 - django-redis' signature
    """Return the key without django-redis' prefix and version. This is its KEY_FUNCTION."""
    return key


def lease_key(key: str) -> str:
    return f"{key}:lease"


def read_through(
    key: str, compute: Callable[[], bytes], *, seconds: int, index: str | None = None, charge: Charge | None = None
) -> bytes:
    """Return the bytes cached under `key`, or `compute()`, which is then cached for `seconds`.

    With `index` (the key of a Redis set) the entry can be deleted together with others, by `forget_all(index)`. With a
    `charge` the call is counted by a rate limit, in the same round trip. Raises BulkheadFull, RateLimited.
    """
    keys = {"response_key": key, "lease_key": lease_key(key), "index_keys": [index] if index else []}
    token = secrets.token_hex(8)
    args = {"token": token, "lease_ms": LEASE_MS, "index_seconds": 2 * seconds}
    deadline = time.monotonic() + WAIT_SECONDS
    outcome = "bypass"  # Redis is down, or another computation takes too long
    with ExitStack() as place:
        try:
            while (found := _look_up_charged(keys, args, charge))["response"] is None:
                charge = None  # counted once
                if found["is_leased"]:
                    outcome = "miss"
                    return _compute_and_store(key, compute, token=token, seconds=seconds)
                if outcome != "waited":  # whoever computes it may be waiting for PostgreSQL
                    place.enter_context(database_bulkhead().place_behind_another())
                    outcome = "waited"
                if time.monotonic() > deadline:
                    break
                time.sleep(POLL_SECONDS)
            else:
                outcome = "hit"
                response: bytes = found["response"]
                return response
        except RedisUnavailable:
            pass
        except RateLimited:
            outcome = "refused"
            raise
        finally:
            lookups.labels(key.partition(":")[0], outcome if outcome != "waited" else "bypass").inc()
    return compute()


def _look_up_charged(keys: Named, args: Named, charge: Charge | None) -> dict[str, Any]:
    """Raises RateLimited."""
    if charge is None:
        return _look_up(keys=keys, args=args)  # type: ignore[no-any-return]
    limit, subject = charge
    found = _look_up_within_limit(keys={"rate_key": limit.key(subject), **keys}, args={**limit.args(), **args})
    if rate_limits.is_refusal(found):
        raise limit.refusal(found)
    return found  # type: ignore[no-any-return]


def _compute_and_store(key: str, compute: Callable[[], bytes], *, token: str, seconds: int) -> bytes:
    try:
        response = compute()
    except Exception:
        forget(key)  # the next reader can take the lease at once
        raise
    with suppress(RedisUnavailable):
        keys = {"response_key": key, "lease_key": lease_key(key)}
        _store(keys=keys, args={"token": token, "response": response, "seconds": seconds})
    return response


def forget(*keys: str) -> None:
    """Delete entries and their leases. Call it after the commit. Deferred if Redis is unavailable."""
    execute_or_defer(f"forget {keys}", lambda redis: redis.delete(*keys, *map(lease_key, keys)))


def forget_all(index: str) -> None:
    """Delete every entry that was cached with this index, like `forget`."""
    execute_or_defer(f"forget all {index}", lambda redis: _forget_all.run(redis, keys={"index_key": index}))


def encode_json(data: object) -> bytes:
    """Return data as JSON in UTF-8. Values that JSON does not know are written by `str`."""
    return orjson.dumps(data, default=str)
