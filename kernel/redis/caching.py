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

# KEYS: answer, lease[, index]   ARGV: token, lease in ms[, index seconds]   ->  the answer, 1 (you compute) or 0 (wait)
_look_up = LuaScript("""
local answer = redis.call('GET', KEYS[1])
if answer then return answer end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then
    if KEYS[3] then
        redis.call('SADD', KEYS[3], KEYS[1])
        redis.call('EXPIRE', KEYS[3], ARGV[3])
    end
    return 1
end
return 0
""")

# KEYS: answer, lease   ARGV: token, answer, answer's life in s   ->  1 if stored
_store = LuaScript("""
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
redis.call('DEL', KEYS[2])
return 1
""")

# KEYS: index   ->  how many answers were forgotten
_forget_all = LuaScript("""
local answers = redis.call('SMEMBERS', KEYS[1])
for _, answer in ipairs(answers) do redis.call('DEL', answer, answer .. ':lease') end
redis.call('DEL', KEYS[1])
return #answers
""")


def plain_key(key: str, prefix: str, version: int) -> str:  # noqa: ARG001 - django-redis' signature
    """django-redis' KEY_FUNCTION: keys stand in Redis as the plan names them."""
    return key


def lease_key(key: str) -> str:
    return f"{key}:lease"


def read_through(key: str, compute: Callable[[], bytes], *, seconds: int, index: str | None = None) -> bytes:
    """The cached answer under `key`, or `compute()`, which is then cached for `seconds`.

    With `index` (the key of a set) the answer can be forgotten together with others, by `forget_all(index)`.
    """
    keys = [key, lease_key(key), *([index] if index else [])]
    token = secrets.token_hex(8)
    give_up = time.monotonic() + WAIT_SECONDS
    outcome = "bypass"  # Redis is away, or who computes it takes too long
    try:
        while not isinstance(found := _look_up(keys=keys, args=[token, LEASE_MS, 2 * seconds]), bytes):
            if found == 1:
                outcome = "miss"
                return _compute_and_store(key, compute, token=token, seconds=seconds)
            if time.monotonic() > give_up:
                break
            time.sleep(POLL_SECONDS)
        else:
            outcome = "hit"
            return found
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
        _store(keys=[key, lease_key(key)], args=[token, answer, seconds])
    return answer


def forget(*keys: str) -> None:
    """Deletes answers, and the leases of those who are computing them. Call after the commit."""
    execute_or_defer(f"forget {keys}", lambda redis: redis.delete(*keys, *map(lease_key, keys)))


def forget_all(index: str) -> None:
    """`forget` for every answer that was cached with this index."""
    execute_or_defer(f"forget all {index}", lambda redis: _forget_all.run(redis, keys=[index]))


def encoded(answer: object) -> bytes:
    """JSON as it goes over the wire: UTF-8, UUIDs as text, timestamps as `kernel.http.rest.timestamp` writes them."""
    return orjson.dumps(answer, default=str)
