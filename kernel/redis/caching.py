"""Read-through caches in Redis that are never older than the last commit.

Three promises, kept by three small scripts:
- one computation: of many who miss at once one gets a lease and computes, the others wait for it a moment;
- no stale fill: whoever changes what is cached deletes the answer *and* the lease after the commit, so that a reader who
  computed from before the commit can no longer store it;
- no Redis, no problem: then everybody computes.

A process that is killed between its commit and its `forget` leaves an old answer, and so, until it can, does one that can
not reach Redis. It lives at most `seconds`, which is therefore short.
"""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress

import orjson
from prometheus_client import Counter

from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import execute_or_defer
from kernel.redis.scripts import LuaScript

LEASE_MS = 3000  # a computation that takes longer loses its lease: the answer is right, but not stored
WAIT_SECONDS = 2.0
POLL_SECONDS = 0.01

lookups = Counter(
    "ticketservice_cache_lookups_total",
    "Cached answers that were asked for, by the first part of their key",
    ["cache", "outcome"],
)

# response: the cached bytes; is_leased: 1 if there are none and the caller got the lease, that is, computes them.
_look_up = LuaScript(
    """
local response = redis.call('GET', response_key)
if response then return result({response = response}) end
if not redis.call('SET', lease_key, token, 'NX', 'PX', lease_ms) then return result({}) end
for _, index_key in ipairs(index_keys) do
    redis.call('SADD', index_key, response_key)
    redis.call('EXPIRE', index_key, index_seconds)
end
return result({is_leased = 1})
""",
    keys=("response_key", "lease_key", "*index_keys"),
    args=("token", "lease_ms", "index_seconds"),
    result=("response", "is_leased"),
)

# is_stored: 0 if the lease was lost meanwhile.
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
    """django-redis' KEY_FUNCTION: keys stand in Redis as the plan names them."""
    return key


def lease_key(key: str) -> str:
    return f"{key}:lease"


def read_through(key: str, compute: Callable[[], bytes], *, seconds: int, index: str | None = None) -> bytes:
    """The cached answer under `key`, or `compute()`, which is then cached for `seconds`.

    With `index` (the key of a set) the answer can be forgotten together with others, by `forget_all(index)`.
    """
    keys = {"response_key": key, "lease_key": lease_key(key), "index_keys": [index] if index else []}
    token = secrets.token_hex(8)
    args = {"token": token, "lease_ms": LEASE_MS, "index_seconds": 2 * seconds}
    deadline = time.monotonic() + WAIT_SECONDS
    outcome = "bypass"  # Redis is down, or the computation of another process takes too long
    try:
        while (found := _look_up(keys=keys, args=args))["response"] is None:
            if found["is_leased"]:
                outcome = "miss"
                return _compute_and_store(key, compute, token=token, seconds=seconds)
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        else:
            outcome = "hit"
            response: bytes = found["response"]
            return response
    except RedisUnavailable:
        pass
    finally:
        lookups.labels(key.partition(":")[0], outcome).inc()
    return compute()


def _compute_and_store(key: str, compute: Callable[[], bytes], *, token: str, seconds: int) -> bytes:
    try:
        answer = compute()
    except Exception:
        forget(key)  # let the next one try at once
        raise
    with suppress(RedisUnavailable):
        keys = {"response_key": key, "lease_key": lease_key(key)}
        _store(keys=keys, args={"token": token, "response": answer, "seconds": seconds})
    return answer


def forget(*keys: str) -> None:
    """Deletes answers, and the leases of those who are computing them. Call after the commit."""
    execute_or_defer(f"forget {keys}", lambda redis: redis.delete(*keys, *map(lease_key, keys)))


def forget_all(index: str) -> None:
    """`forget` for every answer that was cached with this index."""
    execute_or_defer(f"forget all {index}", lambda redis: _forget_all.run(redis, keys={"index_key": index}))


def encoded(answer: object) -> bytes:
    """JSON as it goes over the wire: UTF-8, UUIDs as text, timestamps as `kernel.http.rest.timestamp` writes them."""
    return orjson.dumps(answer, default=str)
