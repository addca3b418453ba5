"""Messages about a queue: between processes, and from each process to the clients that are connected to it.

Positions are not published: each process reads those of its own clients.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypedDict
from uuid import UUID

from kernel.realtime.channel import Message as Message
from kernel.redis.scripts import tagged_key
from kernel.wire import timestamp
from queueing.states import Admission, AdmissionRound


class Offer(TypedDict):
    """A pending reservation that somebody on the waiting list has got."""

    userId: str
    reservationId: str
    reservationNumber: str
    totalAmount: int
    expiresAt: str | None


def channel(event_id: UUID) -> str:
    return tagged_key("live-queue:{}", event_id)


# --- Between processes ------------------------------------------------------------------------------------------------


def queue_advanced(last: AdmissionRound, admitted: Sequence[Admission]) -> Message:
    """The result of an admission round, with what a process needs to sign the passes of its own users."""
    return {
        "type": "queue-advanced",
        "size": last.size,
        "active": last.active,
        "threshold": last.threshold,
        "epoch": last.epoch,
        "now": last.now,
        "admitted": [(one.user_id, one.until) for one in admitted],
    }


def waitlist_advanced(offers: Sequence[Offer]) -> Message:
    """Each process tells its own users."""
    return {"type": "waitlist-advanced", "offers": list(offers)}


# --- To clients -------------------------------------------------------------------------------------------------------


def queue_position(
    event_id: UUID, *, position: int | None, size: int, wait: int, state: str, pass_: str = "", until: int = 0
) -> Message:
    """`position` is None before a draw, 0 if the user does not wait; `wait` in seconds. An active user has a pass, valid
    until `until` (microseconds)."""
    message = {
        "type": "queue-position",
        "eventId": event_id,
        "position": position,
        "queueSize": size,
        "estimatedWait": wait,
        "state": state,
    }
    return message | ({"pass": pass_, "expiresAt": _timestamp(until)} if pass_ else {})


def queue_updated(event_id: UUID, *, size: int, active: int, threshold: int) -> Message:
    return {
        "type": "queue-updated",
        "eventId": event_id,
        "queueSize": size,
        "currentUsers": active,
        "threshold": threshold,
        "timestamp": timestamp(datetime.now(UTC)),
    }


def entry_allowed(event_id: UUID, *, user_id: str, pass_: str, until: int) -> Message:
    """Only for the user who was admitted."""
    return {
        "type": "queue-entry-allowed",
        "eventId": event_id,
        "userId": user_id,
        "message": "입장이 허용되었습니다. 잠시 후 자동으로 이동합니다.",
        "pass": pass_,
        "expiresAt": _timestamp(until),
    }


def waitlist_offered(event_id: UUID, offer: Offer) -> Message:
    """Only for the user to whom the places are offered."""
    return {
        "type": "waitlist-offered",
        "eventId": event_id,
        **offer,
        "message": "대기하신 좌석 또는 티켓이 확보되었습니다. 시간 안에 결제해주세요.",
    }


def queue_cleared(event_id: UUID) -> Message:
    return {"type": "queue-cleared", "eventId": event_id, "message": "관리자가 대기열을 초기화했습니다."}


def _timestamp(microseconds: int) -> str | None:
    return timestamp(datetime.fromtimestamp(microseconds / 1_000_000, UTC))
