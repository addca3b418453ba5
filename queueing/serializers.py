"""Requests and responses of the waiting room."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from rest_framework import serializers

from kernel.errors import InvalidInput
from kernel.wire import timestamp
from queueing import draws
from queueing.models import LIMITS, QueueDraw, validate_moment
from queueing.selectors import Policy
from queueing.services import QueuePosition
from queueing.states import QueueState

HOW_TO_CHECK = (
    "commitment = SHA-256(seed bytes). code = SHA-256('{eventId}:{userId}'), lower case. "
    "lot = first 50 bits of HMAC-SHA256(key = seed bytes, message = code bytes). "
    "participants are the codes (hexadecimal), smallest lot first. See docs/waiting-room.md."
)


# The words of the existing web clients, in the response of status.
STATUS_OF_STATE = {"waiting": "queued", "active": "active", "none": "not_in_queue"}


# --- Out --------------------------------------------------------------------------------------------------------------


def _moment(microseconds: int) -> str | None:
    return timestamp(datetime.fromtimestamp(microseconds / 1_000_000, UTC)) if microseconds else None


def check(position: QueuePosition) -> dict[str, Any]:
    """The response of check. `currentUsers` is the count before the call."""
    queue = position.queue
    response: dict[str, Any] = {"queued": queue.state == "waiting"}
    if queue.state == "waiting":
        response |= {"position": _shown_position(queue), "estimatedWait": _wait(position)}
    response |= {"currentUsers": queue.active_before, "threshold": queue.threshold, "queueSize": queue.size}
    return response | _extensions(position)


def status(position: QueuePosition) -> dict[str, Any]:
    queue, extensions = position.queue, _extensions(position)
    return {
        "queued": queue.state == "waiting",
        "position": _shown_position(queue),
        "queueSize": queue.size,
        "estimatedWait": _wait(position),
        "currentUsers": queue.active,
        "threshold": queue.threshold,
        "status": STATUS_OF_STATE[extensions["state"]],
    } | extensions


def _shown_position(queue: QueueState) -> int | None:
    """None while waiting for the draw: nobody has a number before it."""
    return None if queue.state == "waiting" and queue.is_before_opening else queue.position


def _wait(position: QueuePosition) -> int:
    return position.wait.seconds if position.wait else 0


def _extensions(position: QueuePosition) -> dict[str, Any]:
    """Fields that the old service did not have."""
    queue = position.queue
    if queue.state == "off":
        return {"state": "active"}  # everybody may buy
    if queue.state == "active":
        return {"state": "active", "pass": position.pass_, "passExpiresAt": _moment(queue.admitted_until)}
    if queue.state == "waiting" and position.wait:
        wait = position.wait
        response = {
            "state": "waiting",
            "ticket": position.ticket,
            "estimatedWaitRange": [wait.least, wait.most],
            "estimateIsMeasured": wait.is_measured,
            "isPaused": queue.is_paused,
            "isAdmitting": queue.is_admitting,
        }
        return response | ({"opensAt": _moment(queue.opens)} if queue.is_before_opening else {})
    return {"state": "none"}


def overview(event_id: UUID, queue: QueueState) -> dict[str, Any]:
    return {
        "eventId": event_id,
        "queueSize": queue.size,
        "currentUsers": queue.active,
        "threshold": queue.threshold,
        "available": max(0, queue.threshold - queue.active),
        "isPaused": queue.is_paused,
        "isAdmitting": queue.is_admitting,
        "admittedLastMinute": queue.outflow,
    }


def draw(event_id: UUID, recorded: QueueDraw, *, with_participants: bool) -> dict[str, Any]:
    """The seed is published once the draw is recorded."""
    is_over = recorded.drawn_at is not None
    participants = draws.codes(bytes(recorded.participants or b""))
    policy = getattr(recorded.event, "queue_policy", None)
    response: dict[str, Any] = {
        "eventId": event_id,
        "commitment": draws.commitment(recorded.seed),
        "opensAt": timestamp(policy.opens_at) if policy else None,
        "drawnAt": timestamp(recorded.drawn_at),
        "seed": recorded.seed if is_over else None,
        "participantCount": len(participants) if is_over else None,
        "howToCheck": HOW_TO_CHECK,
    }
    if with_participants and is_over:
        response["participants"] = [participant.hex() for participant in participants]
    return response


POLICY_NAMES = {
    "isOn": "is_on",
    "isPaused": "is_paused",
    "threshold": "threshold",
    "admissionsPerSecond": "admissions_per_second",
    "burst": "burst",
    "admissionSeconds": "admission_seconds",
    "idleSeconds": "idle_seconds",
    "graceSeconds": "grace_seconds",
    "activeIdleSeconds": "active_idle_seconds",
    "opensAt": "opens_at",
}


def policy(event_id: UUID, current: Policy) -> dict[str, Any]:
    fields = {name: getattr(current, column) for name, column in POLICY_NAMES.items()}
    return {"eventId": event_id, "policy": {**fields, "opensAt": timestamp(current.opens_at)}}


# --- In ---------------------------------------------------------------------------------------------------------------


def wants_participants(given: Mapping[str, str]) -> bool:
    """Raises InvalidInput."""
    if given.get("participants", "all") != "all":
        raise InvalidInput("Invalid participants. It is all, or left out.")
    return "participants" in given


def _within(column: str) -> dict[str, Any]:
    least, most = LIMITS[column]
    return {"min_value": least, "max_value": most, "allow_null": True, "required": False}


class PolicyChangesSerializer(serializers.Serializer[Any]):
    """null restores the default; fields that are left out stay as they are."""

    isOn = serializers.BooleanField(allow_null=True, required=False)  # noqa: N815 - as on the wire
    isPaused = serializers.BooleanField(required=False)  # noqa: N815
    threshold = serializers.IntegerField(**_within("threshold"))
    admissionsPerSecond = serializers.FloatField(**_within("admissions_per_second"))  # noqa: N815
    burst = serializers.IntegerField(**_within("burst"))
    admissionSeconds = serializers.IntegerField(**_within("admission_seconds"))  # noqa: N815
    idleSeconds = serializers.IntegerField(**_within("idle_seconds"))  # noqa: N815
    graceSeconds = serializers.IntegerField(**_within("grace_seconds"))  # noqa: N815
    activeIdleSeconds = serializers.IntegerField(**_within("active_idle_seconds"))  # noqa: N815
    opensAt = serializers.DateTimeField(  # noqa: N815
        allow_null=True, required=False, default_timezone=UTC, validators=[validate_moment]
    )


def policy_changes(data: Mapping[str, Any]) -> dict[str, Any]:
    """Columns and values. Raises InvalidInput, naming the first field that is wrong."""
    if unknown := sorted(set(data) - set(POLICY_NAMES)):
        raise InvalidInput(f"{unknown[0]}: no such setting. There are {', '.join(POLICY_NAMES)}.")
    if not data:
        raise InvalidInput(f"Nothing to change. There are {', '.join(POLICY_NAMES)}.")
    for name, value in data.items():
        if isinstance(value, bool) and name not in ("isOn", "isPaused"):
            raise InvalidInput(f"{name}: a number is required")  # Python, and so the serializer, takes false for 0
    read = PolicyChangesSerializer(data=data)
    if not read.is_valid():
        field, errors = next(iter(read.errors.items()))
        raise InvalidInput(f"{field}: {errors[0]}")
    return {POLICY_NAMES[name]: value for name, value in read.validated_data.items()}
