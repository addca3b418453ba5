"""Do the waiting rooms' sets in Redis agree with each other and with the rules? Only looks and tells."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from kernel.redis.client import RedisUnavailable
from queueing import waiting_room
from queueing.errors import WaitingRoomUnavailable

# That no more are inside than the threshold says is not among them: it may have been lowered since.
ROOM_RULES = {
    "in_line_and_inside": "nobody is in line and inside at once",
    "in_line_unseen": "of everybody in line it is known when they were last heard of",
    "seen_not_in_line": "who is known to have been heard of in line is in line",
    "inside_without_end": "every admission ends some time",
    "end_not_inside": "whose admission is known to end is inside",
    "inside_unseen": "of everybody inside it is known when they were last heard of",
    "seen_not_inside": "who is known to have been heard of inside is inside",
    "kept_and_in_line": "nobody has a place in line and a kept one",
    "kept_without_end": "a place that is kept is kept until some time",
    "impossible_moment": "moments are neither before there was a service nor too far ahead",
}


@dataclass(frozen=True, slots=True)
class Inconsistency:
    """What one check found about one person. `moment` in microseconds since 1970, if it is about one."""

    check: str
    event_id: UUID
    user_id: str
    moment: int | None

    @property
    def shown(self) -> dict[str, Any]:
        return {"user_id": self.user_id, **({} if self.moment is None else {"moment": self.moment})}


def inconsistencies(*, event_id: UUID | None = None) -> list[Inconsistency]:
    """Of one event, or of every one that has or had a line. Finds nothing that was wrong only while it looked.

    Raises WaitingRoomUnavailable.
    """
    try:
        events = [event_id] if event_id else waiting_room.known_events()
        return [
            Inconsistency(check, event, user, moment)
            for event in events
            for check, user, moment in waiting_room.inconsistencies(event)
        ]
    except RedisUnavailable as error:
        raise WaitingRoomUnavailable from error
