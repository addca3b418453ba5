"""Whether the waiting rooms' sets in Redis agree with each other. Reads only."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from queueing import inspection
from queueing.services.with_policy import needs_redis

# That no more are active than the threshold says is no such rule: it may have been lowered since.
QUEUE_RULES = {
    "waiting_and_active": "nobody is waiting and active at once",
    "waiting_without_seen": "every waiting user has a last sign of life",
    "seen_without_waiting": "only waiting users have a last sign of life in the queue",
    "active_without_end": "every admission has an end",
    "end_without_active": "only active users have an end of their admission",
    "active_without_seen": "every active user has a last sign of life",
    "seen_without_active": "only active users have a last sign of life as such",
    "waiting_and_in_grace": "nobody is waiting and in their grace time at once",
    "grace_incomplete": "every grace time has an end and a position",
    "impossible_moment": "no moment is before the service existed or too far in the future",
}


@dataclass(frozen=True, slots=True)
class Inconsistency:
    """What one check has found about one user. `moment` in microseconds since 1970, if it is about one."""

    check: str
    event_id: UUID
    user_id: str
    moment: int | None

    @property
    def shown(self) -> dict[str, Any]:
        return {"user_id": self.user_id, **({} if self.moment is None else {"moment": self.moment})}


@needs_redis()
def find_inconsistencies(*, event_id: UUID | None = None) -> list[Inconsistency]:
    """Of one event, or of all that have or had a queue. What was wrong only for a moment is not reported.

    Raises WaitingRoomUnavailable.
    """
    events = [event_id] if event_id else inspection.known_events()
    return [
        Inconsistency(check, event, user_id, moment)
        for event in events
        for check, user_id, moment in inspection.find_inconsistencies(event)
    ]
