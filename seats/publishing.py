"""Publishing changes of the seat map, of stock and of an event's status: the only code that knows these keys in Redis.

Each function is one round trip, after the commit. `changes` are numbers of changes by seat: of two changes of one seat the
later has the higher number, and an older one that arrives later is not published. Everything here is safe to lose, because
clients that see a gap between versions fetch the map again.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import orjson

from events.selectors import event_cache_key
from events.services import FUNNEL_EVENTS, FUNNEL_SECONDS, Stage, funnel_key
from kernel.redis.caching import lease_key
from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import execute, execute_or_defer
from kernel.redis.scripts import LuaScript, tagged_key
from seats import realtime
from seats.locks import SeatLocks, rejection_key, seat_lock_key
from seats.realtime import Change, channel, last_published_key

DIRTY_EVENTS = "events:dirty"  # events whose seats or stock have changed since their status was updated
MAX_DIRTY_EVENTS = 1000  # of one call

_LUA = Path(__file__).parent / "lua"
_DEDUPLICATE = (_LUA / "deduplicate.lua").read_text()
_release_and_publish = LuaScript(
    _DEDUPLICATE + (_LUA / "release_and_publish.lua").read_text(),
    keys=(
        "version", "seat_map", "lease", "dirty_events", "funnel", "funnel_events", "*locks", "*rejections", "*published",
    ),
    args=("token", "event_id", "channel", "stage", "funnel_seconds", "*numbers", "*messages"),
)  # fmt: skip
_publish_stock = LuaScript(
    _DEDUPLICATE + (_LUA / "publish_stock.lua").read_text(),
    keys=("event", "lease", "dirty_events", "funnel", "funnel_events", "*published"),
    args=("event_id", "channel", "reserved", "funnel_seconds", "*numbers", "*messages"),
)
_publish_status = LuaScript(
    _DEDUPLICATE + (_LUA / "publish_status.lua").read_text(),
    keys=("published",),
    args=("channel", "number", "message"),
)
_seat_map_version = LuaScript(
    (_LUA / "seat_map_version.lua").read_text(),
    keys=("version", "seat_map", "lease"),
    args=("redis_was_restarted",),
)


def seat_map_key(event_id: UUID) -> str:
    return tagged_key("seats:{}", event_id)


def seat_map_version_key(event_id: UUID) -> str:
    return tagged_key("seats:{}:version", event_id)


# --- Seats ------------------------------------------------------------------------------------------------------------


def publish_locked(
    *, event_id: UUID, changes: Mapping[UUID, int], locks: SeatLocks, is_new_reservation: bool = True
) -> None:
    """Seats were locked in PostgreSQL, so that their locks in Redis are released in the same round trip."""
    messages = realtime.seats_changed("seat-locked", event_id=event_id, changes=changes)
    stage: Stage | Literal[""] = "reserved" if is_new_reservation else ""
    _publish_seat_map(event_id, messages, locks=locks.keys, token=locks.token, stage=stage)


def publish_offered(*, event_id: UUID, changes: Mapping[UUID, int]) -> None:
    """Seats were locked for somebody who did not ask for them at this moment, and so has no locks in Redis."""
    _publish_seat_map(event_id, realtime.seats_changed("seat-locked", event_id=event_id, changes=changes))


def publish_sold(*, event_id: UUID, changes: Mapping[UUID, int]) -> None:
    _publish_seat_map(event_id, realtime.seats_changed("seat-sold", event_id=event_id, changes=changes), stage="paid")


def publish_released(*, event_id: UUID, changes: Mapping[UUID, int]) -> None:
    """Anybody may have these seats now: a cached rejection is outdated, and so is one that is on its way.

    The latter is why locks are deleted whoever owns them: see release_locks.lua.
    """
    _publish_seat_map(
        event_id,
        realtime.seats_changed("seat-released", event_id=event_id, changes=changes),
        locks=[seat_lock_key(event_id, seat_id) for seat_id in changes],
        rejections=[rejection_key(event_id, seat_id) for seat_id in changes],
    )


def publish_map_changed(*, event_id: UUID) -> None:
    """The seat map has changed in a way that no message tells: clients fetch it again."""
    _publish_seat_map(event_id, [])


def _publish_seat_map(
    event_id: UUID,
    changes: Sequence[Change],
    *,
    locks: Sequence[str] = (),
    token: str = "",
    rejections: Sequence[str] = (),
    stage: Stage | Literal[""] = "",
) -> None:
    seat_map = seat_map_key(event_id)
    keys: dict[str, Any] = {
        "version": seat_map_version_key(event_id),
        "seat_map": seat_map,
        "lease": lease_key(seat_map),
        "dirty_events": DIRTY_EVENTS,
        "funnel": funnel_key(event_id),
        "funnel_events": FUNNEL_EVENTS,
    }
    args: dict[str, Any] = {
        "token": token,
        "event_id": str(event_id),
        "channel": channel(event_id),
        "stage": stage,
        "funnel_seconds": FUNNEL_SECONDS,
    }
    published, numbers, messages = _columns(event_id, changes)
    try:
        _release_and_publish(
            keys=keys | {"locks": locks, "rejections": rejections, "published": published},
            args=args | {"numbers": numbers, "messages": messages},
        )
    except RedisUnavailable:
        # The messages are lost. That the map has another version must not be, or a cached one would live on.
        keys |= {"locks": (), "rejections": (), "published": ()}
        args |= {"token": "", "stage": "", "numbers": (), "messages": ()}
        execute_or_defer(seat_map, lambda redis: _release_and_publish.run(redis, keys=keys, args=args))


def _columns(event_id: UUID, changes: Sequence[Change]) -> tuple[list[str], list[int], list[bytes]]:
    """Of each change: the key of the last published change of the same thing, its number, its message as JSON."""
    return (
        [last_published_key(event_id, change.object_id) for change in changes],
        [change.number for change in changes],
        [orjson.dumps(change.message) for change in changes],
    )


# --- Stock and status -------------------------------------------------------------------------------------------------


def publish_stock(*, event_id: UUID, stock: Sequence[dict[str, Any]], reserved: int = 0) -> None:
    """`stock`: {id, available_quantity, total_quantity, change}, changed by so many new reservations."""
    event = event_cache_key(event_id)
    published, numbers, messages = _columns(event_id, realtime.stock_changed(event_id=event_id, stock=stock))
    keys = {
        "event": event,
        "lease": lease_key(event),
        "dirty_events": DIRTY_EVENTS,
        "funnel": funnel_key(event_id),
        "funnel_events": FUNNEL_EVENTS,
        "published": published,
    }
    args = {
        "event_id": str(event_id),
        "channel": channel(event_id),
        "reserved": reserved,
        "funnel_seconds": FUNNEL_SECONDS,
        "numbers": numbers,
        "messages": messages,
    }
    execute_or_defer(event, lambda redis: _publish_stock.run(redis, keys=keys, args=args))


def publish_status(*, event_id: UUID, status: str, change: int) -> None:
    """The event's status was changed, by the change of this number."""
    (published,), (number,), (message,) = _columns(
        event_id, [realtime.status_changed(event_id=event_id, status=status, change=change)]
    )
    with suppress(RedisUnavailable):
        _publish_status(
            keys={"published": published},
            args={"channel": channel(event_id), "number": number, "message": message},
        )


# --- What others read -------------------------------------------------------------------------------------------------


def ensure_seat_map_version(event_id: UUID, *, redis_was_restarted: bool = False) -> int:
    """The version of the seat map, which begins here if there is none, or an old one may have come back with Redis.

    Raises RedisUnavailable.
    """
    seat_map = seat_map_key(event_id)
    version: int = _seat_map_version(
        keys={"version": seat_map_version_key(event_id), "seat_map": seat_map, "lease": lease_key(seat_map)},
        args={"redis_was_restarted": "1" if redis_was_restarted else ""},
    )
    return version


def mark_dirty_events(event_ids: Sequence[UUID]) -> None:
    """Their status could not be updated just now: the next sweep does."""
    with suppress(RedisUnavailable):
        execute(lambda redis: redis.sadd(DIRTY_EVENTS, *map(str, event_ids)))


def pop_dirty_events() -> list[UUID]:
    """Events whose seats or stock have changed since the last call; empty while Redis is away."""
    try:
        found: Any = execute(lambda redis: redis.spop(DIRTY_EVENTS, MAX_DIRTY_EVENTS))
    except RedisUnavailable:
        return []
    return [UUID(event_id.decode()) for event_id in found]
