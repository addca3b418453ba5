"""Rate limits, counted in Redis for all processes together, by GCRA.

A limit of 120 in a minute allows 120 requests at once, and another one every half second. All that is kept of a user or an
address is one moment, in a key that expires when the whole allowance is there again: half a second after a single request. A
refused request writes nothing. The clock is Redis' own. Without Redis there are no limits, but for those that are asked for
by `spend_anyway`.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import NamedTuple, TypeGuard

from django.conf import settings
from prometheus_client import Counter

from kernel.config.rates import Rate
from kernel.errors import DomainError, Kind
from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import run_command
from kernel.redis.scripts import LuaScript

# A script that has its own work to do can begin with this source, and so limits it in the same round trip. It declares KEYS
# and ARGV, and gets them from `RateLimit.key` and `RateLimit.args`.
SOURCE = (Path(__file__).parent / "lua" / "rate_limit.lua").read_text()
KEYS = ("rate_key",)
ARGS = ("rate_interval", "rate_interval_ms", "rate_period")
UNLIMITED: Mapping[str, int] = dict.fromkeys(ARGS, 0)

_spend = LuaScript(SOURCE, keys=KEYS, args=ARGS)

refusals = Counter("ticketservice_rate_limited_total", "Requests refused by a rate limit", ["limit"])


class RateLimited(DomainError):
    """Too many requests of a user or from an address. Nothing of this one has happened.

    `headers` are those of draft-ietf-httpapi-ratelimit-headers-10.
    """

    kind = Kind.RATE_LIMITED
    message = "요청이 너무 많습니다. 잠시 후 다시 시도해주세요."
    code = "RATE_LIMITED"

    def __init__(self, name: str, rate: Rate, wait_us: float) -> None:
        super().__init__()
        self.retry_after = max(1, -int(-wait_us // 1_000_000))
        self._headers = {
            "RateLimit-Policy": f'"{name}";q={rate.quota};w={rate.seconds}',
            "RateLimit": f'"{name}";r=0;t={self.retry_after}',
        }

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers


@lru_cache(maxsize=100)
def _args(rate: Rate) -> Mapping[str, int]:
    quota, seconds = rate
    if not quota:
        return UNLIMITED
    period = seconds * 1_000_000
    interval = max(1, period // quota)
    return {"rate_interval": interval, "rate_interval_ms": -(-interval // 1000), "rate_period": period}


class RateLimit:
    """A limit by its name, for clients and metrics, and the setting with its rate."""

    def __init__(self, name: str, setting: str) -> None:
        self.name, self._setting = name, setting
        refusals.labels(name)  # exported as 0 from the start

    @property
    def rate(self) -> Rate:
        rate: Rate = getattr(settings, self._setting)
        return rate

    def key(self, subject: str, event_id: object = None) -> str:
        """Return the key of a user or an address. With REDIS_HASH_TAGS and an event it is in the slot of the event's keys.

        The limit is then one for each event.
        """
        tag = f":{{{event_id}}}" if settings.REDIS_HASH_TAGS and event_id else ""
        return f"rate:{self.name}:{subject}{tag}"

    def args(self) -> Mapping[str, int]:
        return _args(self.rate)

    def spend(self, subject: str) -> None:
        """Count one request, in a round trip of its own. Raises RateLimited."""
        self._spend(subject, lambda **_: None)

    def spend_anyway(self, subject: str) -> None:
        """Like `spend`; while Redis is away, the process counts by itself. Raises RateLimited."""
        self._spend(subject, partial(_own.spend, self.key(subject)))

    def _spend(self, subject: str, without_redis: Callable[..., bytes | None]) -> None:
        args = self.args()
        if args is UNLIMITED:
            return
        try:
            reply = _spend(keys={"rate_key": self.key(subject)}, args=args)
        except RedisUnavailable:
            reply = without_redis(**args)
        if reply is not None:
            raise self.refusal(reply)

    def forget(self, subject: str) -> None:
        """Give a subject its whole allowance back."""
        _own.forget(self.key(subject))
        with suppress(RedisUnavailable):
            run_command("DEL", self.key(subject))

    def refusal(self, reply: bytes) -> RateLimited:
        """Return the error for the reply of a script that begins with SOURCE, and has refused."""
        refusals.labels(self.name).inc()
        return RateLimited(self.name, self.rate, float(reply.rpartition(b" ")[2]))


class _OwnMemory:
    """What lua/rate_limit.lua does, for this process alone; of at most MAX_REMEMBERED subjects."""

    def __init__(self) -> None:
        self._whole_at: dict[str, float] = {}  # microseconds of time.monotonic()
        self._lock = Lock()

    def spend(self, key: str, *, rate_interval: int, rate_period: int, **_: int) -> bytes | None:
        now = time.monotonic() * 1_000_000
        with self._lock:
            whole_at = max(now, self._whole_at.get(key, 0)) + rate_interval
            if whole_at > now + rate_period:
                return b"RATE_LIMITED %d" % (whole_at - now - rate_period)
            if len(self._whole_at) >= MAX_REMEMBERED and key not in self._whole_at:
                # Those that would expire in Redis; if there are none, the one that would be the first.
                outlived = [one for one, moment in self._whole_at.items() if moment <= now]
                for one in outlived or [min(self._whole_at, key=self._whole_at.__getitem__)]:
                    del self._whole_at[one]
            self._whole_at[key] = whole_at
        return None

    def forget(self, key: str) -> None:
        with self._lock:
            self._whole_at.pop(key, None)


MAX_REMEMBERED = 10_000
_own = _OwnMemory()


class Charge(NamedTuple):
    """One request of a user or an address, to be counted by the limit."""

    limit: RateLimit
    subject: str


def is_refusal(reply: object) -> TypeGuard[bytes]:
    """Whether a script that begins with SOURCE has refused."""
    return isinstance(reply, bytes) and reply.startswith(b"RATE_LIMITED ")
