"""Shapes in and out."""

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
from queueing.services import Standing
from queueing.waiting_room import Found

HOW_TO_CHECK = (
    "commitment = SHA-256(seed bytes). code = SHA-256('{eventId}:{userId}'), lower case. "
    "lot = first 50 bits of HMAC-SHA256(key = seed bytes, message = code bytes). "
    "participants are the codes (hexadecimal), smallest lot first. See docs/waiting-room.md."
)


# --- Out --------------------------------------------------------------------------------------------------------------


def _moment(microseconds: int) -> str | None:
    return timestamp(datetime.fromtimestamp(microseconds / 1_000_000, UTC)) if microseconds else None


def checked(standing: Standing) -> dict[str, Any]:
    """The answer of check. `currentUsers` is the count before the call."""
    found = standing.found
    answer: dict[str, Any] = {"queued": found.state == "waiting"}
    if found.state == "waiting":
        answer |= {"position": _position(found), "estimatedWait": _wait(standing)}
    answer |= {"currentUsers": found.inside_before, "threshold": found.threshold, "queueSize": found.size}
    return answer | _state(standing)


def status(standing: Standing) -> dict[str, Any]:
    found = standing.found
    return {
        "queued": found.state == "waiting",
        "position": _position(found),
        "queueSize": found.size,
        "estimatedWait": _wait(standing),
        "currentUsers": found.inside,
        "threshold": found.threshold,
    } | _state(standing)


def _position(found: Found) -> int | None:
    """None for who waits for the draw: nobody has a number before it."""
    return None if found.state == "waiting" and found.is_before_opening else found.position


def _is_admitting(found: Found) -> bool:
    return found.lets_some_in and not (found.is_paused or found.is_rebuilding or found.is_before_opening)


def _wait(standing: Standing) -> int:
    return standing.wait.seconds if standing.wait else 0


def _state(standing: Standing) -> dict[str, Any]:
    """What the old service did not say."""
    found = standing.found
    if found.state == "off":
        return {"state": "active"}  # everybody is in
    if found.state == "active":
        return {"state": "active", "pass": standing.pass_, "passExpiresAt": _moment(found.until)}
    if found.state == "waiting" and standing.wait:
        wait = standing.wait
        answer = {
            "state": "waiting",
            "ticket": standing.ticket,
            "estimatedWaitRange": [wait.least, wait.most],
            "estimateIsMeasured": wait.is_measured,
            "isPaused": found.is_paused,
            "isAdmitting": _is_admitting(found),
        }
        return answer | ({"opensAt": _moment(found.opens)} if found.is_before_opening else {})
    return {"state": "none"}


def overview(event_id: UUID, found: Found) -> dict[str, Any]:
    return {
        "eventId": event_id,
        "queueSize": found.size,
        "currentUsers": found.inside,
        "threshold": found.threshold,
        "available": max(0, found.threshold - found.inside),
        "isPaused": found.is_paused,
        "isAdmitting": _is_admitting(found),
        "admittedLastMinute": found.outflow,
    }


def draw(event_id: UUID, held: QueueDraw, *, with_participants: bool) -> dict[str, Any]:
    """The seed is shown once the draw is recorded."""
    is_over = held.drawn_at is not None
    participants = draws.codes(bytes(held.participants or b""))
    policy = getattr(held.event, "queue_policy", None)
    answer: dict[str, Any] = {
        "eventId": event_id,
        "commitment": draws.commitment(held.seed),
        "opensAt": timestamp(policy.opens_at) if policy else None,
        "drawnAt": timestamp(held.drawn_at),
        "seed": held.seed if is_over else None,
        "participantCount": len(participants) if is_over else None,
        "howToCheck": HOW_TO_CHECK,
    }
    if with_participants and is_over:
        answer["participants"] = [participant.hex() for participant in participants]
    return answer


POLICY_NAMES = {
    "isOn": "is_on",
    "isPaused": "is_paused",
    "threshold": "threshold",
    "admissionsPerSecond": "admissions_per_second",
    "burst": "burst",
    "admissionSeconds": "admission_seconds",
    "idleSeconds": "idle_seconds",
    "graceSeconds": "grace_seconds",
    "idleInsideSeconds": "idle_inside_seconds",
    "opensAt": "opens_at",
}


def policy(event_id: UUID, found: Policy) -> dict[str, Any]:
    shown = {name: getattr(found, column) for name, column in POLICY_NAMES.items()}
    return {"eventId": event_id, "policy": {**shown, "opensAt": timestamp(found.opens_at)}}


# --- In ---------------------------------------------------------------------------------------------------------------


def wants_participants(given: Mapping[str, str]) -> bool:
    """Raises InvalidInput."""
    if given.get("participants", "all") != "all":
        raise InvalidInput("Invalid participants. It is all, or left out.")
    return "participants" in given


def _within(column: str) -> dict[str, Any]:
    least, most = LIMITS[column]
    return {"min_value": least, "max_value": most, "allow_null": True, "required": False}


class PolicyChanges(serializers.Serializer[Any]):
    """null is back to the default; what is left out stays."""

    isOn = serializers.BooleanField(allow_null=True, required=False)  # noqa: N815 - as on the wire
    isPaused = serializers.BooleanField(required=False)  # noqa: N815
    threshold = serializers.IntegerField(**_within("threshold"))
    admissionsPerSecond = serializers.FloatField(**_within("admissions_per_second"))  # noqa: N815
    burst = serializers.IntegerField(**_within("burst"))
    admissionSeconds = serializers.IntegerField(**_within("admission_seconds"))  # noqa: N815
    idleSeconds = serializers.IntegerField(**_within("idle_seconds"))  # noqa: N815
    graceSeconds = serializers.IntegerField(**_within("grace_seconds"))  # noqa: N815
    idleInsideSeconds = serializers.IntegerField(**_within("idle_inside_seconds"))  # noqa: N815
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
    read = PolicyChanges(data=data)
    if not read.is_valid():
        field, found = next(iter(read.errors.items()))
        raise InvalidInput(f"{field}: {found[0]}")
    return {POLICY_NAMES[name]: value for name, value in read.validated_data.items()}
