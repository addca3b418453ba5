"""`lock:seat:{eventId}:{seatId}`: one buyer at a time per seat, so that a crowd does not queue up in PostgreSQL.

PostgreSQL alone decides who gets a seat; without Redis everybody goes straight there. A lock belongs to a random token and
only its owner lets go of it; it ends by itself after LIFE_MS, which is longer than any statement may run.

Who is refused by PostgreSQL because a seat is taken marks it (`rejected:{eventId}:{seatId}`): of a crowd that wants one seat
the others are refused here. A mark lives for TAKEN_MS, not past the end of the hold, and goes when the seat is set free.

The round trip that lets go of the locks also tells what has changed in the seat map: see `tell`.
"""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import orjson

from events.services.funnel import EVENTS as FUNNEL_EVENTS
from events.services.funnel import LIFE_SECONDS as FUNNEL_SECONDS
from events.services.funnel import Stage, funnel_key
from kernel.redis.caching import lease_key
from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import execute, execute_or_defer
from kernel.redis.keys import tagged_key
from kernel.redis.scripts import LuaScript
from queueing.services import AdmissionGuardedScript, Visitor, require_pass, run_if_admitted
from seats.errors import RequestInProgress, SeatBeingChosen, SeatTakenCached
from seats.realtime import Change, channel, last_published_key

LIFE_MS = 10_000
TAKEN_MS = 1_000
DIRTY_EVENTS = "events:dirty"  # events whose places changed since their status was last looked at

NOTHING: Mapping[str, str] = {}
_SCRIPTS = Path(__file__).parent / "lua"
_take = AdmissionGuardedScript(
    (_SCRIPTS / "take.lua").read_text(),
    keys=("*locks", "*marks"),
    args=("token", "life_ms"),
    result=("place", "mark"),
)
_NEWS = (_SCRIPTS / "news.lua").read_text()
_let_go = LuaScript(_NEWS + (_SCRIPTS / "let_go.lua").read_text())
_tell_stock = LuaScript(_NEWS + (_SCRIPTS / "tell_stock.lua").read_text())
_tell_status = LuaScript(_NEWS + (_SCRIPTS / "tell_status.lua").read_text())
_count = LuaScript((_SCRIPTS / "count.lua").read_text())


def seat_lock_key(event_id: UUID, seat_id: UUID | str) -> str:
    return tagged_key("lock:seat:{}:{}", event_id, seat_id)


def taken_key(event_id: UUID, seat_id: UUID | str) -> str:
    return tagged_key("rejected:{}:{}", event_id, seat_id)


def request_lock_key(event_id: UUID, request: str) -> str:
    return tagged_key("lock:request:{}:{}", event_id, request)


def seat_map_key(event_id: UUID) -> str:
    return tagged_key("seats:{}", event_id)


def seat_map_version_key(event_id: UUID) -> str:
    return tagged_key("seats:{}:version", event_id)


@dataclass(frozen=True, slots=True)
class Hold:
    """Locks that are held until they are let go of."""

    event_id: UUID
    token: str
    keys: tuple[str, ...]

    def let_go(self, taken: Mapping[UUID, str] | None = None, taken_ms: int = 0) -> None:
        """One round trip; safe to lose, the locks end by themselves. `taken`: seats that others have, with their labels."""
        if self.keys:
            marks = {taken_key(self.event_id, seat): label for seat, label in (taken or {}).items()}
            self._run(versions=0, changes=(), marks=marks if taken_ms > 0 else NOTHING, marks_ms=taken_ms)

    def let_go_and_tell(self, changes: Sequence[Change], stage: Stage | Literal[""] = "") -> None:
        """The same, and the seat map has changed: its next versions, its cache forgotten, the changes published.

        Each change is a version. Without changes it is one version that can only be fetched. `stage` counts one more who
        has come so far in the event's funnel. Call after the commit.
        """
        self._run(versions=1, changes=changes, stage=stage)

    def _run(
        self,
        *,
        versions: int,
        changes: Sequence[Change],
        stage: str = "",
        marks: Mapping[str, str] = NOTHING,
        marks_ms: int = 0,
    ) -> None:
        version, answer = seat_map_version_key(self.event_id), seat_map_key(self.event_id)
        keys = [version, answer, lease_key(answer), DIRTY_EVENTS, funnel_key(self.event_id), FUNNEL_EVENTS]
        event = [str(self.event_id), channel(self.event_id)]
        places, told = _told(self.event_id, changes)
        left = [len(self.keys), marks_ms, len(marks), *marks.values()]
        try:
            _let_go(
                keys=[*keys, *self.keys, *marks, *places],
                args=[self.token, versions, *event, stage, FUNNEL_SECONDS, *left, *told],
            )
        except RedisUnavailable:
            if versions:  # what was told nobody heard; that the map is another one is told when Redis is back
                untold = ["", 1, *event, "", 0, 0, 0, 0]
                execute_or_defer(answer, lambda redis: _let_go.run(redis, keys=keys, args=untold))


def take(*, event_id: UUID, buyer: Visitor, seat_ids: Sequence[UUID] = (), request: str | None = None) -> Hold:
    """Locks the seats, and the request if it has a name, for who has been let into the event's waiting room.

    One round trip; when Redis is away it holds nothing, and a pass is needed. Raises RequestInProgress, SeatBeingChosen or
    SeatTakenCached, and what `queueing.services.run_if_admitted` and `require_pass` raise.
    """
    keys = [seat_lock_key(event_id, seat_id) for seat_id in seat_ids]
    if request is not None:
        keys.insert(0, request_lock_key(event_id, request))
    marks = [taken_key(event_id, seat_id) for seat_id in seat_ids]
    token = secrets.token_hex(16)
    try:
        taken = run_if_admitted(
            _take,
            event_id=event_id,
            visitor=buyer,
            keys={"locks": keys, "marks": marks},
            args={"token": token, "life_ms": LIFE_MS},
        )
    except RedisUnavailable:
        require_pass(event_id=event_id, visitor=buyer)
        return Hold(event_id, token, ())
    if taken["place"] == 0:
        return Hold(event_id, token, tuple(keys))
    if request is not None and taken["place"] == 1:
        raise RequestInProgress
    if taken["mark"] is not None:
        raise SeatTakenCached(label=taken["mark"].decode())
    raise SeatBeingChosen


def tell(event_id: UUID, changes: Sequence[Change], stage: Stage | Literal[""] = "") -> None:
    """The seat map has changed: see `Hold.let_go_and_tell`."""
    Hold(event_id, "", ()).let_go_and_tell(changes, stage)


def set_free(event_id: UUID, changes: Sequence[Change]) -> None:
    """The same, of seats that anybody may take now: what is known of them, or is being asked just now, is old."""
    locks = tuple(seat_lock_key(event_id, change.object_id) for change in changes)
    marks = {taken_key(event_id, change.object_id): "" for change in changes}
    Hold(event_id, "", locks)._run(versions=1, changes=changes, marks=marks)


def tell_stock(event_id: UUID, changes: Sequence[Change], *, forget: Sequence[str], reserved: int) -> None:
    """Stock has changed, by so many new reservations: keys forgotten, the changes published. Call after the commit."""
    places, told = _told(event_id, changes)
    keys = [*forget, DIRTY_EVENTS, funnel_key(event_id), FUNNEL_EVENTS, *places]
    args = [str(event_id), channel(event_id), reserved, FUNNEL_SECONDS, *told]
    execute_or_defer(forget[0], lambda redis: _tell_stock.run(redis, keys=keys, args=args))


def tell_status(event_id: UUID, change: Change) -> None:
    """The event's status has changed. Call after the commit."""
    places, told = _told(event_id, [change])
    with suppress(RedisUnavailable):
        _tell_status(keys=places, args=[channel(event_id), *told])


def _told(event_id: UUID, changes: Sequence[Change]) -> tuple[list[str], list[Any]]:
    """KEYS and ARGV of changes, as the scripts take them."""
    told: list[Any] = []
    for change in changes:
        told += change.number, orjson.dumps(change.message)
    return [last_published_key(event_id, change.object_id) for change in changes], told


def count_versions(event_id: UUID, *, redis_was_restarted: bool = False) -> int:
    """The seat map's version. If none was counted yet, or Redis may have come back with an old one, counting starts anew.

    Raises RedisUnavailable.
    """
    answer = seat_map_key(event_id)
    keys = [seat_map_version_key(event_id), answer, lease_key(answer)]
    return int(_count(keys=keys, args=["1" if redis_was_restarted else ""]))


def pop_dirty_events() -> list[UUID]:
    """The events that were touched since the last call; empty when Redis is away."""
    try:
        found: Any = execute(lambda redis: redis.spop(DIRTY_EVENTS, 1000))
    except RedisUnavailable:
        return []
    return [UUID(event_id.decode()) for event_id in found]
