"""Seat locks in Redis, and cached rejections: the only code that knows their keys.

`lock:seat:{eventId}:{seatId}` is the token of whoever is reserving the seat at this moment, for LOCK_MS.
`rejected:{eventId}:{seatId}` is the label of a seat that PostgreSQL has rejected, for REJECTION_MS.
"""

# PostgreSQL alone decides who gets a seat. Locks and rejections only keep a crowd from queueing up there. Without Redis
# every buyer goes straight to PostgreSQL.

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from uuid import UUID

from kernel.errors import DomainError
from kernel.redis.client import RedisUnavailable
from kernel.redis.scripts import LuaScript, tagged_key
from queueing.services import AdmissionGuardedScript, Visitor, require_pass, run_if_admitted
from seats.errors import NO_SEATS, SeatBeingChosen, SeatTaken, SeatTakenCached

LOCK_MS = 10_000  # longer than any statement may run
REJECTION_MS = 1_000
NO_LOCKS: Mapping[str, type[DomainError]] = MappingProxyType({})

_LUA = Path(__file__).parent / "lua"
_acquire = AdmissionGuardedScript(
    (_LUA / "acquire_locks.lua").read_text(),
    keys=("*locks", "*rejections"),
    args=("token", "life_ms"),
    result=("held", "rejected"),
)
_release = LuaScript(
    (_LUA / "release_locks.lua").read_text(),
    keys=("*locks", "*rejections"),
    args=("token", "life_ms", "*labels"),
)


def seat_lock_key(event_id: UUID, seat_id: UUID) -> str:
    return tagged_key("lock:seat:{}:{}", event_id, seat_id)


def rejection_key(event_id: UUID, seat_id: UUID) -> str:
    return tagged_key("rejected:{}:{}", event_id, seat_id)


@dataclass(frozen=True, slots=True)
class SeatLocks:
    """Locks that are held until they are released, or expire."""

    event_id: UUID
    token: str
    keys: tuple[str, ...]

    @contextmanager
    def released_on_failure(self) -> Iterator[None]:
        """Releases the locks if the block raises; a SeatTaken is cached for other buyers."""
        try:
            yield
        except SeatTaken as rejection:
            self.release(rejection)
            raise
        except BaseException:
            self.release()
            raise

    def release(self, rejection: SeatTaken | None = None) -> None:
        """Releases those that have not expired; with a rejection, caches it for other buyers. One round trip."""
        if not self.keys:
            return
        rejected, life_ms = NO_SEATS, 0
        if rejection is not None:
            life_ms = int(min(rejection.unavailable_seconds * 1000, REJECTION_MS))
            rejected = rejection.unavailable if life_ms > 0 else NO_SEATS
        with suppress(RedisUnavailable):
            _release(
                keys={
                    "locks": self.keys,
                    "rejections": [rejection_key(self.event_id, seat_id) for seat_id in rejected],
                },
                args={"token": self.token, "life_ms": life_ms, "labels": list(rejected.values())},
            )


def acquire_locks(
    *, event_id: UUID, buyer: Visitor, seat_ids: Sequence[UUID] = (), also: Mapping[str, type[DomainError]] = NO_LOCKS
) -> SeatLocks:
    """Locks the seats, all or none, for a buyer who is admitted to the event. One round trip.

    `also` are keys of further locks, each with the error to raise when it is held. Raises SeatBeingChosen, SeatTakenCached,
    and what `queueing.services.run_if_admitted` raises. While Redis is away nothing is locked, and the buyer needs a pass:
    see `require_pass`.
    """
    locks = [*also, *(seat_lock_key(event_id, seat_id) for seat_id in seat_ids)]
    rejections = [rejection_key(event_id, seat_id) for seat_id in seat_ids]
    token = secrets.token_hex(16)
    try:
        outcome = run_if_admitted(
            _acquire,
            event_id=event_id,
            visitor=buyer,
            keys={"locks": locks, "rejections": rejections},
            args={"token": token, "life_ms": LOCK_MS},
        )
    except RedisUnavailable:
        require_pass(event_id=event_id, visitor=buyer)
        return SeatLocks(event_id, token, ())
    if outcome["held"] is not None:
        raise also.get(locks[outcome["held"] - 1], SeatBeingChosen)
    if outcome["rejected"] is not None:
        raise SeatTakenCached(label=outcome["rejected"].decode())
    return SeatLocks(event_id, token, tuple(locks))
