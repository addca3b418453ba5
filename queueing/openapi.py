"""The waiting room, for the OpenAPI document."""

from pathlib import Path
from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import Direction, OpenApiParameter, extend_schema
from rest_framework import serializers

from events.errors import EventNotFound
from kernel.errors import InvalidInput
from kernel.openapi.schema import MessageSerializer, Timestamp, ViewDescription, raises
from queueing.errors import (
    ChallengeFailed,
    ChallengeRequired,
    ChallengeUnavailable,
    NoChallenge,
    NoDraw,
    QueueAlreadyOpen,
    QueueClosed,
    WaitingRoomUnavailable,
)
from queueing.serializers import PolicyChangesSerializer

EXAMPLES = Path(__file__).with_name("openapi_examples.json")

QUEUE_PASS = OpenApiParameter(
    "Queue-Pass",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The `pass` that was issued on admission. Needed only while Redis does not answer, or has lost the queue.",
)
QUEUE_TICKET = OpenApiParameter(
    "Queue-Ticket",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The `ticket` that was issued in the queue. Restores the position if Redis has lost the queue.",
)

CHALLENGE_RESPONSE = OpenApiParameter(
    "Challenge-Response",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="What solves the join challenge. Needed by newcomers only, and only if the service has a challenge.",
)

# --- Shapes -----------------------------------------------------------------------------------------------------------


class CheckResponseSerializer(serializers.Serializer[Any]):
    """The visitor's position. `ticket` and what follows it only while waiting, `pass` and its end only while active."""

    queued = serializers.BooleanField(help_text="Whether the visitor waits.")
    position = serializers.IntegerField(
        required=False, allow_null=True, help_text="1 for the next; null before the draw, when nobody has a number."
    )
    estimatedWait = serializers.IntegerField(required=False, help_text="Seconds.")
    queueSize = serializers.IntegerField(help_text="How many wait.")
    currentUsers = serializers.IntegerField(help_text="How many were active before this call.")
    threshold = serializers.IntegerField(help_text="How many may be active.")
    state = serializers.ChoiceField(["waiting", "active", "none"], help_text="`active`: may buy.")
    passExpiresAt = Timestamp(required=False, allow_null=True)
    ticket = serializers.CharField(required=False, help_text="To be sent along as `Queue-Ticket`.")
    estimatedWaitRange = serializers.ListField(
        child=serializers.IntegerField(allow_null=True),
        min_length=2,
        max_length=2,
        required=False,
        help_text="Lower and upper bound in seconds; the upper bound may be null.",
    )
    estimateIsMeasured = serializers.BooleanField(
        required=False, help_text="From the last minute's outflow; otherwise from what the policy would allow."
    )
    isPaused = serializers.BooleanField(required=False)
    isAdmitting = serializers.BooleanField(required=False, help_text="Whether users are being admitted.")
    opensAt = Timestamp(required=False, help_text="Only before the opening.")

    def get_fields(self) -> dict[str, Any]:
        given = serializers.CharField(required=False, help_text="To be sent along as `Queue-Pass`.")
        return {**super().get_fields(), "pass": given}  # a word of Python's


class StatusResponseSerializer(CheckResponseSerializer):
    """The same, with `position` and `estimatedWait` always there: 0 for a visitor who does not wait."""

    position = serializers.IntegerField(
        allow_null=True,
        help_text="1 for the next, 0 outside of the queue; null before the draw, when nobody has a number.",
    )
    estimatedWait = serializers.IntegerField(help_text="Seconds.")
    currentUsers = serializers.IntegerField(help_text="How many are active.")
    status = serializers.ChoiceField(
        ["queued", "active", "not_in_queue"], help_text="The same as `state`, in other words."
    )


class OverviewSerializer(serializers.Serializer[Any]):
    eventId = serializers.UUIDField()
    queueSize = serializers.IntegerField()
    currentUsers = serializers.IntegerField()
    threshold = serializers.IntegerField()
    available = serializers.IntegerField(help_text="How many more may be active.")
    isPaused = serializers.BooleanField()
    isAdmitting = serializers.BooleanField()
    admittedLastMinute = serializers.IntegerField(help_text="From the queue.")


class ClearedSerializer(MessageSerializer):
    clearedQueue = serializers.IntegerField(help_text="How many were waiting.")
    clearedActive = serializers.IntegerField(help_text="How many were active.")


class PolicySerializer(serializers.Serializer[Any]):
    """With defaults filled in."""

    isOn = serializers.BooleanField()
    isPaused = serializers.BooleanField()
    threshold = serializers.IntegerField(help_text="How many may be active.")
    admissionsPerSecond = serializers.FloatField()
    burst = serializers.IntegerField()
    admissionSeconds = serializers.IntegerField(help_text="How long an admission lasts.")
    idleSeconds = serializers.IntegerField(help_text="Silence of a waiting user, until they are dropped.")
    graceSeconds = serializers.IntegerField(help_text="For how long a dropped user may return to their position.")
    activeIdleSeconds = serializers.IntegerField()
    opensAt = Timestamp(allow_null=True, help_text="Visitors who come before it take part in a draw.")


class PolicyChangesExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Constraints of `policy_changes` that the serializer does not know."""

    target_class = PolicyChangesSerializer

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        return {**super().map_serializer(auto_schema, direction), "minProperties": 1, "additionalProperties": False}


class PolicyOfEventSerializer(serializers.Serializer[Any]):
    eventId = serializers.UUIDField()
    policy = PolicySerializer()


class DrawSerializer(serializers.Serializer[Any]):
    eventId = serializers.UUIDField()
    commitment = serializers.RegexField(r"^[0-9a-f]{64}$", help_text="SHA-256 of the seed.")
    opensAt = Timestamp(allow_null=True)
    drawnAt = Timestamp(allow_null=True)
    seed = serializers.RegexField(r"^[0-9a-f]+$", allow_null=True, help_text="null until the draw is recorded.")
    participantCount = serializers.IntegerField(allow_null=True)
    howToCheck = serializers.CharField()
    participants = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Codes in the order that was drawn."
    )


# --- Operations -------------------------------------------------------------------------------------------------------

_MALFORMED = InvalidInput("Invalid event ID format")
_QUEUE_ERRORS = raises(_MALFORMED, EventNotFound, WaitingRoomUnavailable)
_CHANGE: dict[str, Any] = {
    "summary": "Change the policy",
    "description": "Only the fields sent are changed; `null` restores the default. Applies at once.",
    "request": PolicyChangesSerializer,
    "responses": {200: PolicyOfEventSerializer},
    "extensions": raises(
        _MALFORMED, InvalidInput("Nothing to change. There are isOn, isPaused, ..."), EventNotFound, QueueAlreadyOpen
    ),
}


class Queue(ViewDescription):
    target_class = "queueing.views.QueueViewSet"
    tag = "Waiting room"
    examples = EXAMPLES
    operations = {
        "check": extend_schema(
            operation_id="checkQueue",
            summary="Check in: be admitted, or join the queue",
            description="Admits the visitor if nobody waits and there is room. Idempotent.",
            parameters=[QUEUE_PASS, QUEUE_TICKET, CHALLENGE_RESPONSE],
            request=None,
            responses={200: CheckResponseSerializer},
            extensions=raises(
                _MALFORMED,
                EventNotFound,
                QueueClosed,
                WaitingRoomUnavailable,
                ChallengeRequired,
                ChallengeFailed,
                ChallengeUnavailable,
            ),
        ),
        "status": extend_schema(
            operation_id="getQueueStatus",
            summary="Get the position",
            description="Counts as a heartbeat.",
            parameters=[QUEUE_PASS, QUEUE_TICKET],
            responses={200: StatusResponseSerializer},
            extensions=_QUEUE_ERRORS,
        ),
        "heartbeat": extend_schema(
            operation_id="sendQueueHeartbeat",
            summary="Send a heartbeat",
            description="Keeps the position, or the admission.",
            parameters=[QUEUE_PASS, QUEUE_TICKET],
            request=None,
            responses={200: StatusResponseSerializer},
            extensions=_QUEUE_ERRORS,
        ),
        "leave": extend_schema(
            operation_id="leaveQueue",
            summary="Leave the queue, or give up the admission",
            request=None,
            responses={200: MessageSerializer},
            extensions=_QUEUE_ERRORS,
        ),
        "draw": extend_schema(
            operation_id="getQueueDraw",
            summary="Get the draw, which anybody can verify",
            parameters=[
                OpenApiParameter("participants", enum=["all"], description="`all`: with the codes of all participants.")
            ],
            responses={200: DrawSerializer},
            extensions=raises(_MALFORMED, InvalidInput("Invalid participants"), EventNotFound, NoDraw),
        ),
    }


class QueueChallenge(ViewDescription):
    target_class = "queueing.views.QueueChallengeViewSet"
    tag = "Waiting room"
    examples = EXAMPLES
    uses_database = False
    operations = {
        "challenge": extend_schema(
            operation_id="getJoinChallenge",
            summary="Get the challenge that a newcomer solves before joining",
            description="For this user and this event. The shape depends on the challenge: see `docs/rate-limits.md`.",
            responses={200: OpenApiTypes.OBJECT},
            extensions=raises(_MALFORMED, NoChallenge),
        )
    }


class QueueAdmin(ViewDescription):
    target_class = "queueing.views.QueueAdminViewSet"
    tag = "Waiting room, for administrators"
    examples = EXAMPLES
    operations = {
        "overview": extend_schema(
            operation_id="getQueueOverview",
            summary="Get how many wait and are active",
            responses={200: OverviewSerializer},
            extensions=_QUEUE_ERRORS,
        ),
        "clear": extend_schema(
            operation_id="clearQueue",
            summary="Clear the queue",
            description="Empties the queue and ends all admissions. Passes and tickets issued before are void.",
            request=None,
            responses={200: ClearedSerializer},
            extensions=_QUEUE_ERRORS,
        ),
        "pause": extend_schema(
            operation_id="pauseQueue",
            summary="Stop admissions for now",
            request=None,
            responses={200: MessageSerializer},
            extensions=raises(_MALFORMED, EventNotFound),
        ),
        "resume": extend_schema(
            operation_id="resumeQueue",
            summary="Resume admissions",
            request=None,
            responses={200: MessageSerializer},
            extensions=raises(_MALFORMED, EventNotFound),
        ),
        "policy": [
            extend_schema(
                methods=["GET"],
                operation_id="getQueuePolicy",
                summary="Get the policy",
                responses={200: PolicyOfEventSerializer},
                extensions=raises(_MALFORMED, EventNotFound),
            ),
            extend_schema(methods=["POST"], operation_id="changeQueuePolicy", **_CHANGE),
            extend_schema(methods=["PATCH"], operation_id="patchQueuePolicy", **_CHANGE),
        ],
    }
