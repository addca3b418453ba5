"""`lock:seat:{eventId}:{seatId}`: one buyer at a time per seat, so that a crowd does not queue up in PostgreSQL.

PostgreSQL alone decides who gets a seat; without Redis everybody goes straight there. A lock belongs to a random token and
only its owner lets go of it; it ends by itself after LIFE_MS, which is longer than any statement may run.

The same round trip that lets go of the locks tells that the seat map has changed: see `seat_map_changed`.
"""

import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from kernel.caching import lease_key
from kernel.redis import LuaScript, RedisUnavailable, event_key
from seats.errors import RequestInProgress, SeatBeingChosen

LIFE_MS = 10_000

_SCRIPTS = Path(__file__).parent / "lua"
_take = LuaScript((_SCRIPTS / "take.lua").read_text())
_let_go = LuaScript((_SCRIPTS / "let_go.lua").read_text())


def seat_lock_key(event_id: UUID, seat_id: UUID) -> str:
    return event_key("lock:seat:{}:{}", event_id, seat_id)


def request_lock_key(event_id: UUID, request: str) -> str:
    return event_key("lock:request:{}:{}", event_id, request)


def seat_map_key(event_id: UUID) -> str:
    return event_key("seats:{}", event_id)


def seat_map_version_key(event_id: UUID) -> str:
    return event_key("seats:{}:version", event_id)


@dataclass(frozen=True, slots=True)
class Hold:
    """Locks that are held, until `let_go`."""

    event_id: UUID
    token: str
    keys: tuple[str, ...]

    def let_go(self, *, changed: bool) -> None:
        """One round trip; safe to lose, the locks end by themselves. `changed`: the seat map is another one now."""
        if not self.keys and not changed:
            return
        version, answer = seat_map_version_key(self.event_id), seat_map_key(self.event_id)
        with contextlib.suppress(RedisUnavailable):
            _let_go(keys=[version, answer, lease_key(answer), *self.keys], args=[self.token, int(changed)])


def take(*, event_id: UUID, seat_ids: Sequence[UUID] = (), request: str | None = None) -> Hold:
    """Locks the seats, and the request if it has a name. One round trip; holds nothing when Redis is away.

    Raises RequestInProgress or SeatBeingChosen.
    """
    keys = [seat_lock_key(event_id, seat_id) for seat_id in seat_ids]
    if request is not None:
        keys.insert(0, request_lock_key(event_id, request))
    token = secrets.token_hex(16)
    if not keys:
        return Hold(event_id, token, ())
    try:
        place = _take(keys=keys, args=[token, LIFE_MS])
    except RedisUnavailable:
        return Hold(event_id, token, ())
    if place == 0:
        return Hold(event_id, token, tuple(keys))
    raise RequestInProgress if request is not None and place == 1 else SeatBeingChosen


def seat_map_changed(event_id: UUID) -> None:
    """Gives the seat map its next version and forgets the cached one. Call after the commit."""
    Hold(event_id, "", ()).let_go(changed=True)
