"""What is told about a line: to the processes that have its sockets, and by them to those who wait.

Positions are not published: each process asks for those of its own sockets.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from kernel.redis.keys import tagged_key
from kernel.wire import timestamp
from queueing.states import Admission, AdmissionRound

Message = dict[str, Any]


def channel(event_id: UUID) -> str:
    return tagged_key("line:{}", event_id)


# --- Between processes ------------------------------------------------------------------------------------------------


def line_moved(last: AdmissionRound, admitted: Sequence[Admission]) -> Message:
    """What a tick did. With it a process can make the passes of those of its own who were let in."""
    return {
        "type": "line-moved",
        "size": last.size,
        "inside": last.active,
        "threshold": last.threshold,
        "epoch": last.epoch,
        "now": last.now,
        "admitted": [(one.user_id, one.until) for one in admitted],
    }


# --- To clients -------------------------------------------------------------------------------------------------------


def position(
    event_id: UUID, *, place: int | None, size: int, wait: int, state: str, pass_: str = "", until: int = 0
) -> Message:
    """`place` is None for who waits for a draw, 0 for who does not wait. `wait` in seconds. A pass for who is inside."""
    message = {
        "type": "queue-position",
        "eventId": event_id,
        "position": place,
        "queueSize": size,
        "estimatedWait": wait,
        "state": state,
    }
    return message | ({"pass": pass_, "expiresAt": _moment(until)} if pass_ else {})


def updated(event_id: UUID, *, size: int, inside: int, threshold: int) -> Message:
    return {
        "type": "queue-updated",
        "eventId": event_id,
        "queueSize": size,
        "currentUsers": inside,
        "threshold": threshold,
        "timestamp": timestamp(datetime.now(UTC)),
    }


def entry_allowed(event_id: UUID, *, user_id: str, pass_: str, until: int) -> Message:
    """Only for the user who was let in."""
    return {
        "type": "queue-entry-allowed",
        "eventId": event_id,
        "userId": user_id,
        "message": "입장이 허용되었습니다. 잠시 후 자동으로 이동합니다.",
        "pass": pass_,
        "expiresAt": _moment(until),
    }


def cleared(event_id: UUID) -> Message:
    return {"type": "queue-cleared", "eventId": event_id, "message": "관리자가 대기열을 초기화했습니다."}


def _moment(microseconds: int) -> str | None:
    return timestamp(datetime.fromtimestamp(microseconds / 1_000_000, UTC))
