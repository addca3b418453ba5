"""What operators read of all events' queues in Redis: counters, and entries that disagree with each other."""

from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from kernel.redis.deferred import execute
from kernel.redis.scripts import LuaScript
from queueing.store import ACTIVE_EVENTS, COUNTED_EVENTS, keys_of

MAX_DURATION_US = 86_400_000_000  # of an admission or a grace time: a day, as the policy's constraints say
CLOCK_SLACK_US = 60_000_000
MAX_FINDINGS = 1000  # of each check, for one event
PAGE_SIZE = 1000

_LUA = Path(__file__).parent / "lua"
_integrity = LuaScript(
    (_LUA / "integrity.lua").read_text(),
    keys=(
        "queue_key",
        "queue_seen_key",
        "grace_key",
        "grace_until_key",
        "active_key",
        "active_until_key",
        "active_seen_key",
    ),
    args=("max_duration_us", "clock_slack_us", "limit"),
    result=("findings",),
)
_scan_difference = LuaScript(
    (_LUA / "scan_difference.lua").read_text(),
    keys=("first_key", "second_key"),
    args=("after", "limit"),
    result=("cursor", "missing"),
)


class InconsistentEntry(NamedTuple):
    check: str
    user_id: str
    moment: int | None  # microseconds since 1970, if the check is about one


def read_stats() -> dict[UUID, dict[str, float]]:
    """The counters of each event that has some, by name. Raises RedisUnavailable."""

    def read(redis: Any) -> dict[UUID, Any]:
        events = sorted(UUID(event_id.decode()) for event_id in redis.smembers(COUNTED_EVENTS))
        pipeline = redis.pipeline(transaction=False)
        for event_id in events:
            pipeline.hgetall(keys_of(event_id)["stats_key"])
        stats = dict(zip(events, pipeline.execute(), strict=True))
        if expired := [str(event_id) for event_id, counters in stats.items() if not counters]:
            redis.srem(COUNTED_EVENTS, *expired)
        return stats

    return {
        event_id: {name.decode(): float(value) for name, value in counters.items()}
        for event_id, counters in execute(read).items()
        if counters
    }


def known_events() -> list[UUID]:
    """The events that have or had users who wait or are active. Raises RedisUnavailable."""

    def read(redis: Any) -> list[set[bytes]]:
        pipeline = redis.pipeline(transaction=False)
        pipeline.smembers(ACTIVE_EVENTS)
        pipeline.smembers(COUNTED_EVENTS)
        members: list[set[bytes]] = pipeline.execute()
        return members

    return sorted(UUID(event_id.decode()) for event_id in set().union(*execute(read)))


def find_inconsistencies(event_id: UUID) -> list[InconsistentEntry]:
    """What lua/integrity.lua and lua/scan_difference.lua report. Reads only, page by page. Raises RedisUnavailable."""
    keys = keys_of(event_id)
    limits = {"max_duration_us": MAX_DURATION_US, "clock_slack_us": CLOCK_SLACK_US, "limit": MAX_FINDINGS}
    flat = _integrity(keys={name: keys[name] for name in _integrity.keys}, args=limits)["findings"]
    rows = zip(flat[0::3], flat[1::3], flat[2::3], strict=True)
    return [
        *(InconsistentEntry(check.decode(), user.decode(), int(float(at)) if at else None) for check, user, at in rows),
        *_find_missing("waiting_without_seen", keys["queue_key"], keys["queue_seen_key"]),
        *_find_missing("seen_without_waiting", keys["queue_seen_key"], keys["queue_key"]),
    ]


def _find_missing(check: str, first_key: str, second_key: str) -> list[InconsistentEntry]:
    findings, cursor = [], b"-inf"
    while cursor:
        args = {"after": cursor, "limit": PAGE_SIZE}
        page = _scan_difference(keys={"first_key": first_key, "second_key": second_key}, args=args)
        findings += [InconsistentEntry(check, user.decode(), None) for user in page["missing"]]
        cursor = page["cursor"]
    return findings
