"""`lock:seat:{eventId}:{seatId}`: one buyer at a time per seat, so that a crowd does not queue up in PostgreSQL.

PostgreSQL alone decides who gets a seat; without Redis everybody goes straight there. A lock belongs to a random token and
only its owner lets go of it; it ends by itself after LIFE_MS, which is longer than any statement may run.

Who is refused by PostgreSQL because a seat is taken marks it (`taken:{eventId}:{seatId}`): of a crowd that wants one seat
the others are refused here. A mark lives for TAKEN_MS, not past the end of the hold, and goes when the seat is set free.

The round trip that lets go of the locks also tells what has changed in the seat map: see `tell`.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import orjson

from events.funnel import EVENTS as FUNNEL_EVENTS
from events.funnel import LIFE_SECONDS as FUNNEL_SECONDS
from events.funnel import Stage, funnel_key
from kernel.caching import lease_key
from kernel.redis import LuaScript, RedisUnavailable, attempt, attempt_or_owe, event_key
from queueing.services import AtTheDoor, Visitor, enter, enter_without_redis
from seats.errors import RequestInProgress, SeatBeingChosen, SeatKnownTaken
from seats.realtime import channel

LIFE_MS = 10_000
TAKEN_MS = 1_000
TOUCHED_EVENTS = "events:touched"  # events whose places changed since their status was last looked at

NOTHING: Mapping[str, str] = {}
_SCRIPTS = Path(__file__).parent / "lua"
_take = AtTheDoor((_SCRIPTS / "take.lua").read_text())
_let_go = LuaScript((_SCRIPTS / "let_go.lua").read_text())


def seat_lock_key(event_id: UUID, seat_id: UUID) -> str:
    return event_key("lock:seat:{}:{}", event_id, seat_id)


def taken_key(event_id: UUID, seat_id: UUID) -> str:
    return event_key("taken:{}:{}", event_id, seat_id)


def request_lock_key(event_id: UUID, request: str) -> str:
    return event_key("lock:request:{}:{}", event_id, request)


def seat_map_key(event_id: UUID) -> str:
    return event_key("seats:{}", event_id)


def seat_map_version_key(event_id: UUID) -> str:
    return event_key("seats:{}:version", event_id)


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
            self._run(versions=0, messages=(), marks=marks if taken_ms > 0 else NOTHING, marks_ms=taken_ms)

    def let_go_and_tell(self, messages: Sequence[dict[str, Any]], stage: Stage | Literal[""] = "") -> None:
        """The same, and the seat map has changed: its next versions, its cache forgotten, the messages published.

        Each message is a version. Without messages it is one version that can only be fetched. `stage` counts one more who
        has come so far in the event's funnel. Call after the commit.
        """
        self._run(versions=max(1, len(messages)), messages=messages, stage=stage)

    def _run(
        self,
        *,
        versions: int,
        messages: Sequence[dict[str, Any]],
        stage: str = "",
        marks: Mapping[str, str] = NOTHING,
        marks_ms: int = 0,
    ) -> None:
        version, answer = seat_map_version_key(self.event_id), seat_map_key(self.event_id)
        keys = [version, answer, lease_key(answer), TOUCHED_EVENTS, funnel_key(self.event_id), FUNNEL_EVENTS]
        event = [str(self.event_id), channel(self.event_id)]
        told = [orjson.dumps(list(messages)), stage, FUNNEL_SECONDS]
        left = [len(self.keys), marks_ms, *marks.values()]
        try:
            _let_go(keys=[*keys, *self.keys, *marks], args=[self.token, versions, *event, *told, *left])
        except RedisUnavailable:
            if versions:  # what was told nobody heard; that the map is another one is told when Redis is back
                untold = ["", 1, *event, "[]", "", 0, 0, 0]
                attempt_or_owe(answer, lambda redis: _let_go.run(redis, keys=[*keys, *marks], args=untold))


def take(*, event_id: UUID, buyer: Visitor, seat_ids: Sequence[UUID] = (), request: str | None = None) -> Hold:
    """Locks the seats, and the request if it has a name, for who has been let into the event's waiting room.

    One round trip; when Redis is away it holds nothing, and a pass is needed. Raises RequestInProgress, SeatBeingChosen or
    SeatKnownTaken, and what `queueing.services.enter` and `enter_without_redis` raise.
    """
    keys = [seat_lock_key(event_id, seat_id) for seat_id in seat_ids]
    if request is not None:
        keys.insert(0, request_lock_key(event_id, request))
    marks = [taken_key(event_id, seat_id) for seat_id in seat_ids]
    token = secrets.token_hex(16)
    try:
        args = [token, LIFE_MS, len(keys)]
        place, *mark = enter(_take, event_id=event_id, visitor=buyer, keys=[*keys, *marks], args=args)
    except RedisUnavailable:
        enter_without_redis(event_id=event_id, visitor=buyer)
        return Hold(event_id, token, ())
    if place == 0:
        return Hold(event_id, token, tuple(keys))
    if request is not None and place == 1:
        raise RequestInProgress
    if mark:
        raise SeatKnownTaken(label=mark[0].decode())
    raise SeatBeingChosen


def tell(event_id: UUID, messages: Sequence[dict[str, Any]], stage: Stage | Literal[""] = "") -> None:
    """The seat map has changed: see `Hold.let_go_and_tell`."""
    Hold(event_id, "", ()).let_go_and_tell(messages, stage)


def set_free(event_id: UUID, seat_ids: Sequence[UUID], messages: Sequence[dict[str, Any]]) -> None:
    """The same, of seats that anybody may now take: whoever thinks them taken, or asks just now, knows better."""
    locks = tuple(seat_lock_key(event_id, seat_id) for seat_id in seat_ids)
    marks = {taken_key(event_id, seat_id): "" for seat_id in seat_ids}
    Hold(event_id, "", locks)._run(versions=len(messages), messages=messages, marks=marks)


def take_touched_events() -> list[UUID]:
    """The events that were touched since the last call; empty when Redis is away."""
    try:
        found: Any = attempt(lambda redis: redis.spop(TOUCHED_EVENTS, 1000))
    except RedisUnavailable:
        return []
    return [UUID(event_id.decode()) for event_id in found]
