"""The line and the inside of an event, in Redis: the only code that knows their keys.

Redis says who waits and who is in, by its own clock. Each function is one round trip; the Lua scripts are the authority
and are safe at once from any number of processes. What is allowed (how many, how fast, whether at all) is the event's
policy: a hash that stands beside the line, so that a change counts from the next call on.

Moments are microseconds since 1970 by Redis' clock.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import UUID

from django.conf import settings

from kernel.redis.client import was_away_since
from kernel.redis.deferred import execute, execute_or_defer
from kernel.redis.keys import tagged_key
from kernel.redis.scripts import LuaScript

State = Literal["off", "closed", "active", "waiting", "none"]
Mode = Literal["check", "status", "enter", "look"]
MAX_IN_ONE_CALL = 2000
EVENTS = "queue:events"  # the events that the tick looks after
COUNTED = "queue:counted"  # the events that were ever looked after
MAX_POSSIBLE_US = 86_400_000_000  # an admission or a kept place: a day, as the policy's constraints say
CLOCK_SLACK_US = 60_000_000
MAX_INCONSISTENCIES = 1000  # of one check and event

_LUA = Path(__file__).parent / "lua"
_ROOM = (_LUA / "room.lua").read_text()
_VISIT = _ROOM + (_LUA / "visit.lua").read_text()


def _script(name: str) -> LuaScript:
    return LuaScript(_ROOM + (_LUA / f"{name}.lua").read_text())


_visit = LuaScript(f"{_VISIT}\nreturn visit()")
_follow = LuaScript(_VISIT + (_LUA / "follow.lua").read_text())
_admit, _leave, _clear = _script("admit"), _script("leave"), _script("clear")
_audit, _audit_line = LuaScript((_LUA / "audit.lua").read_text()), LuaScript((_LUA / "audit_line.lua").read_text())
_put_policy = LuaScript((_LUA / "put_policy.lua").read_text())

_TEMPLATES = (
    "queue:{}", "queue:seen:{}", "queue:grace:{}", "queue:grace:until:{}", "active:{}", "active:until:{}", "active:seen:{}",
    "queue:state:{}", "queue:policy:{}", "queue:stats:{}", "queue:flow:{}", "queue:probes:{}", "queue:drawn:{}",
    "queue:redeemed:{}",
)  # fmt: skip
QUEUE, SEEN, STATE, POLICY, STATS, DRAWN = 0, 1, 7, 8, 9, 12


@lru_cache(maxsize=1000)
def _keys(event_id: UUID) -> tuple[str, ...]:
    """In the order in which room.lua names them."""
    return tuple(tagged_key(template, event_id) for template in _TEMPLATES)


Fields = Mapping[str, str | int | float]  # a policy, see `selectors.Policy.as_fields`


def _run(
    script: LuaScript, event_id: UUID, args: Sequence[Any], policy: Fields | None, keys: Sequence[str] = ()
) -> Any:
    """One round trip. With a policy, Redis is told it in the same breath. Raises PolicyUnknown, RedisUnavailable."""
    keys = (*_keys(event_id), *keys)

    def tell_and_run(redis: Any) -> Any:
        pipeline = redis.pipeline(transaction=True)
        _put_policy.run(pipeline, keys=[keys[POLICY], keys[STATE]], args=_told("", policy or {}))
        script.run(pipeline, keys=keys, args=args)
        return pipeline.execute()[-1]

    answer = execute(tell_and_run) if policy else script(keys=keys, args=args)
    if answer == [b"no policy"]:
        raise PolicyUnknown
    return answer


class PolicyUnknown(Exception):
    """Redis has not been told the event's policy: call again with it."""


# --- Visits -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proof:
    """What a visitor has in hand: that a place was given in the line of `epoch`, which may be lost by now."""

    epoch: int
    issued: int
    value: int | None  # until when an admission lasts; the place in line, None if it is drawn by lot


@dataclass(frozen=True, slots=True)
class Visitor:
    user_id: UUID
    admission: Proof | None = None
    place: Proof | None = None


class Found(NamedTuple):
    """What a visit found, and the policy by which it was judged. `position` is 1 for the next; 0 if not in line."""

    state: State
    position: int
    size: int
    inside_before: int
    inside: int
    until: int
    place: int
    epoch: int
    now: int
    last_tick: int
    outflow: int  # let in from the line within `outflow_us`, at most a minute
    outflow_us: int
    is_drawn: bool
    is_rebuilding: bool
    threshold: int
    is_paused: bool
    opens: int
    sale_from: int
    sale_to: int
    rate: float
    asks_for_tick: bool  # no tick has come by lately: see `look_after`

    @property
    def is_before_opening(self) -> bool:
        return self.opens > self.now and not self.is_drawn

    @property
    def lets_some_in(self) -> bool:
        """Its limits do, and somebody ticks."""
        return self.is_ticking and self.threshold > 0 and self.rate > 0

    @property
    def is_ticking(self) -> bool:
        return abs(self.now - self.last_tick) < TICK_MISSED_US  # later than now: the clock was set back


TICK_MISSED_US = 5_000_000


class LotNeeded(Exception):
    """The event's places are drawn by lot: call again with the lot of this seed."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        super().__init__()


def visit(event_id: UUID, visitor: Visitor, mode: Mode, lot: int | None = None, policy: Fields | None = None) -> Found:
    """Raises PolicyUnknown, LotNeeded, RedisUnavailable."""
    return _found(event_id, _run(_visit, event_id, _arguments(event_id, visitor, mode, lot), policy))


def look(event_id: UUID, policy: Fields | None = None) -> Found:
    """The same for nobody in particular. Raises PolicyUnknown, RedisUnavailable."""
    return _found(event_id, _run(_visit, event_id, [*_caller(event_id, ""), "look", *[""] * 7], policy))


MAX_FOLLOWED = 500  # in one call: half a millisecond of Redis


def follow(event_id: UUID, users: Sequence[str], policy: Fields | None = None) -> tuple[Found, list[int]]:
    """Where up to MAX_FOLLOWED users are; for each of them a sign of life, and nothing else changes.

    What was found of the room, and for each the position from 1, 0 without a place, -1 inside. No positions if the room is
    off or closed. Raises PolicyUnknown, RedisUnavailable.
    """
    answer = _run(_follow, event_id, [*_caller(event_id, ""), "look", *[""] * 7, *users], policy)
    return _found(event_id, answer), answer[_FIELDS:]


class AdmissionGuardedScript:
    """A script that runs only for who is inside, in the round trip that finds out: nothing of it happens to others."""

    def __init__(self, source: str) -> None:
        count = len(_TEMPLATES)
        arguments = 11
        self._script = LuaScript(f"""{_VISIT}
local found = visit()
if found[1] ~= 'active' and found[1] ~= 'off' then return found end
local function inside(KEYS, ARGV) {source} end
found[#found + 1] = inside({{unpack(KEYS, {count + 1})}}, {{unpack(ARGV, {arguments + 1})}})
return found""")

    def __call__(
        self,
        event_id: UUID,
        visitor: Visitor,
        *,
        keys: Sequence[str],
        args: Sequence[Any],
        policy: Fields | None = None,
    ) -> tuple[Found, Any]:
        """What was found, and what the script returned, None if it did not run. Raises PolicyUnknown, RedisUnavailable."""
        given = [*_arguments(event_id, visitor, "enter", None), *args]
        found = _run(self._script, event_id, given, policy, keys)
        return _found(event_id, found), found[_FIELDS] if len(found) > _FIELDS else None


_FIELDS = 21


def _arguments(event_id: UUID, visitor: Visitor, mode: Mode, lot: int | None) -> list[Any]:
    def of(proof: Proof | None) -> list[Any]:
        return [proof.epoch, proof.issued, "" if proof.value is None else proof.value] if proof else ["", "", ""]

    return [
        *_caller(event_id, str(visitor.user_id)),
        mode,
        *of(visitor.admission),
        *of(visitor.place),
        "" if lot is None else lot,
    ]


def _found(event_id: UUID, answer: Any) -> Found:
    if answer[0] == b"needs lot":
        raise LotNeeded(answer[1].decode())
    (state, position, size, before, inside, until, place, epoch, now, ticked, outflow, outflow_us, drawn, rebuilding,
     threshold, paused, opens, sale_from, sale_to, rate, asks) = answer[:_FIELDS]  # fmt: skip
    _remember_crowd(event_id, size=size, epoch=epoch)
    return Found(
        state=state.decode(),
        position=position,
        size=size,
        inside_before=before,
        inside=inside,
        until=until,
        place=place,
        epoch=epoch,
        now=now,
        last_tick=ticked,
        outflow=outflow,
        outflow_us=outflow_us,
        is_drawn=bool(drawn),
        is_rebuilding=bool(rebuilding),
        threshold=threshold,
        is_paused=bool(paused),
        opens=opens,
        sale_from=sale_from,
        sale_to=sale_to,
        rate=float(rate),
        asks_for_tick=bool(asks),
    )


# --- Remembering that there was a crowd -------------------------------------------------------------------------------

# Redis that was away and has lost everything does not know that people were waiting; this process does, and in which epoch
# it was. It says so with each call, and nobody is let in until the line has had time to come back. Not when Redis was there
# all the time: then somebody has emptied it on purpose.
CROWD_SECONDS = 60.0
_crowds: dict[UUID, tuple[int, float]] = {}  # the epoch, and when the line was last seen


def _remember_crowd(event_id: UUID, *, size: int, epoch: int) -> None:
    if size > 0:
        _crowds[event_id] = epoch, time.monotonic()
    else:
        _crowds.pop(event_id, None)


def _crowd_before_outage(event_id: UUID) -> int | str:
    """The epoch in which this process saw a crowd that Redis may have lost since, or ''."""
    epoch, seen = _crowds.get(event_id, (0, 0.0))
    return epoch if epoch and time.monotonic() - seen < CROWD_SECONDS and was_away_since(seen) else ""


def _caller(event_id: UUID, user: str) -> list[Any]:
    """ARGV 1-3 of every script."""
    return [user, _crowd_before_outage(event_id), settings.QUEUE_REBUILD_SECONDS * 1_000_000]


# --- Everything else --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What one tick of one event did. `admitted` are (user id, place, until)."""

    again: bool
    size: int
    inside: int
    threshold: int
    policy_is_old: bool
    draw_is_due: bool
    nobody_is_left: bool
    epoch: int
    now: int
    admitted: list[tuple[str, int, int]]


def admit(event_id: UUID, policy: Fields | None = None) -> Tick:
    """Drops the dead and lets in whom the policy allows. Raises PolicyUnknown, RedisUnavailable."""
    answer = _run(_admit, event_id, [*_caller(event_id, ""), MAX_IN_ONE_CALL], policy)
    again, size, inside, old, draw, nobody, threshold, epoch, now, *admitted = answer
    _remember_crowd(event_id, size=size, epoch=epoch)
    users, places, untils = admitted[0::3], admitted[1::3], admitted[2::3]
    return Tick(
        again=bool(again),
        size=size,
        inside=inside,
        threshold=threshold,
        policy_is_old=bool(old),
        draw_is_due=bool(draw),
        nobody_is_left=bool(nobody),
        epoch=epoch,
        now=now,
        admitted=[(user.decode(), place, until) for user, place, until in zip(users, places, untils, strict=True)],
    )


def leave(
    event_id: UUID,
    user_id: UUID,
    cause: Literal["left", "bought", "cancelled"] = "left",
    policy: Fields | None = None,
) -> bool:
    """Gives up the place in line or inside; bought or cancelled: inside only. Whether there was one.

    Raises PolicyUnknown, RedisUnavailable.
    """
    return bool(_run(_leave, event_id, [*_caller(event_id, str(user_id)), cause], policy))


def clear(event_id: UUID, policy: Fields | None = None) -> tuple[int, int]:
    """Sends everybody away. How many stood in line and were inside. Raises PolicyUnknown, RedisUnavailable."""
    stood, inside = _run(_clear, event_id, _caller(event_id, ""), policy)
    _crowds.pop(event_id, None)
    return stood, inside


def renew_policy(event_id: UUID, policy: Fields) -> None:
    """Tells Redis the policy, if it knows one already; if it is away, as soon as it is back."""
    keys = _keys(event_id)
    told = [keys[POLICY], keys[STATE]]
    execute_or_defer(told[0], lambda redis: _put_policy.run(redis, keys=told, args=_told("1", policy)))


def _told(only_if_known: str, policy: Fields) -> list[str | int | float]:
    return [only_if_known, policy["xmax"], policy["unfinished"], *(part for pair in policy.items() for part in pair)]


def look_after(event_id: UUID) -> None:
    """From now on the tick visits this event. Raises RedisUnavailable."""

    def add(redis: Any) -> None:
        pipeline = redis.pipeline(transaction=False)
        pipeline.sadd(EVENTS, str(event_id))
        pipeline.sadd(COUNTED, str(event_id))
        pipeline.execute()

    execute(add)


def look_no_longer_after(event_id: UUID) -> None:
    execute(lambda redis: redis.srem(EVENTS, str(event_id)))


def events() -> list[UUID]:
    """The events that have a line or somebody inside. Raises RedisUnavailable."""
    found: Any = execute(lambda redis: redis.smembers(EVENTS))
    return sorted(UUID(event_id.decode()) for event_id in found)


def stats() -> dict[UUID, dict[str, float]]:
    """What the scripts have counted, for each event of which something is counted. Raises RedisUnavailable."""

    def read(redis: Any) -> dict[UUID, Any]:
        events = sorted(UUID(event_id.decode()) for event_id in redis.smembers(COUNTED))
        pipeline = redis.pipeline(transaction=False)
        for event_id in events:
            pipeline.hgetall(_keys(event_id)[STATS])
        found = dict(zip(events, pipeline.execute(), strict=True))
        if forgotten := [str(event_id) for event_id, counted in found.items() if not counted]:
            redis.srem(COUNTED, *forgotten)
        return found

    return {
        event_id: {name.decode(): float(value) for name, value in counted.items()}
        for event_id, counted in execute(read).items()
        if counted
    }


def drawn(event_id: UUID) -> tuple[int, list[UUID]]:
    """The opening whose draw is still to be recorded, and who stood in line at it, in the order that was drawn.

    0 and nobody if there is none. Raises RedisUnavailable.
    """
    keys = _keys(event_id)

    def read(redis: Any) -> Any:
        pipeline = redis.pipeline(transaction=True)
        pipeline.hmget(keys[STATE], "draw_due", "drawn")
        pipeline.zrange(keys[DRAWN], 0, -1)
        return pipeline.execute()

    (is_due, opening), users = execute(read)
    return (int(float(opening)), [UUID(user.decode()) for user in users]) if is_due else (0, [])


def known_events() -> list[UUID]:
    """The events that have or had a line or somebody inside. Raises RedisUnavailable."""

    def read(redis: Any) -> list[set[bytes]]:
        pipeline = redis.pipeline(transaction=False)
        pipeline.smembers(EVENTS)
        pipeline.smembers(COUNTED)
        found: list[set[bytes]] = pipeline.execute()
        return found

    return sorted(UUID(event_id.decode()) for event_id in set().union(*execute(read)))


def inconsistencies(event_id: UUID) -> list[tuple[str, str, int | None]]:
    """What lua/audit.lua finds: (check, user, moment). Reads only, a thousand places at a time. Raises RedisUnavailable."""
    keys = _keys(event_id)
    flat = _audit(keys=keys, args=[MAX_POSSIBLE_US, CLOCK_SLACK_US, MAX_INCONSISTENCIES])
    found = [
        (check.decode(), user.decode(), int(float(moment)) if moment else None)
        for check, user, moment in zip(flat[0::3], flat[1::3], flat[2::3], strict=True)
    ]
    for check, here, there in (("in_line_unseen", QUEUE, SEEN), ("seen_not_in_line", SEEN, QUEUE)):
        after = b"-inf"
        while after:
            after, *missing = _audit_line(keys=[keys[here], keys[there]], args=[after, 1000])
            found += [(check, user.decode(), None) for user in missing]
    return found


def draw_was_recorded(event_id: UUID) -> None:
    """The draw is durable: Redis need not keep it. Raises RedisUnavailable."""
    keys = _keys(event_id)

    def forget(redis: Any) -> None:
        pipeline = redis.pipeline(transaction=True)
        pipeline.hdel(keys[STATE], "draw_due")
        pipeline.delete(keys[DRAWN])
        pipeline.execute()

    execute(forget)
