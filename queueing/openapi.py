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
from kernel.openapi.schema import Described, Message, Timestamp, refused_with
from queueing.errors import NoDraw, QueueAlreadyOpen, QueueClosed, WaitingRoomUnavailable
from queueing.serializers import PolicyChanges

EXAMPLES = Path(__file__).with_name("openapi_examples.json")

QUEUE_PASS = OpenApiParameter(
    "Queue-Pass",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The `pass` that was given on admission. Needed only while Redis does not answer, or has lost the line.",
)
QUEUE_TICKET = OpenApiParameter(
    "Queue-Ticket",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The `ticket` that was given in line. Gives the place back if Redis has lost the line.",
)

# --- Shapes -----------------------------------------------------------------------------------------------------------


class Checked(serializers.Serializer[Any]):
    """Where the visitor is. `ticket` and what follows it only in line, `pass` and its end only inside."""

    queued = serializers.BooleanField(help_text="Whether the visitor waits.")
    position = serializers.IntegerField(
        required=False, allow_null=True, help_text="1 for the next; null before the draw, when nobody has a number."
    )
    estimatedWait = serializers.IntegerField(required=False, help_text="Seconds.")
    queueSize = serializers.IntegerField(help_text="How many wait.")
    currentUsers = serializers.IntegerField(help_text="How many were inside before this call.")
    threshold = serializers.IntegerField(help_text="How many may be inside.")
    state = serializers.ChoiceField(["waiting", "active", "none"], help_text="`active`: inside, may buy.")
    passExpiresAt = Timestamp(required=False, allow_null=True)
    ticket = serializers.CharField(required=False, help_text="To be sent along as `Queue-Ticket`.")
    estimatedWaitRange = serializers.ListField(
        child=serializers.IntegerField(allow_null=True),
        min_length=2,
        max_length=2,
        required=False,
        help_text="Least and most seconds; the most is null if there is no telling.",
    )
    estimateIsMeasured = serializers.BooleanField(
        required=False, help_text="From the last minute's outflow; otherwise from what the policy would allow."
    )
    isPaused = serializers.BooleanField(required=False)
    isAdmitting = serializers.BooleanField(required=False, help_text="Whether anybody is being let in just now.")
    opensAt = Timestamp(required=False, help_text="Only before the opening.")

    def get_fields(self) -> dict[str, Any]:
        given = serializers.CharField(required=False, help_text="To be sent along as `Queue-Pass`.")
        return {**super().get_fields(), "pass": given}  # a word of Python's


class Standing(Checked):
    """The same, with `position` and `estimatedWait` always there: 0 for who does not wait."""

    position = serializers.IntegerField(
        allow_null=True, help_text="1 for the next, 0 if not in line; null before the draw, when nobody has a number."
    )
    estimatedWait = serializers.IntegerField(help_text="Seconds.")
    currentUsers = serializers.IntegerField(help_text="How many are inside.")


class Overview(serializers.Serializer[Any]):
    eventId = serializers.UUIDField()
    queueSize = serializers.IntegerField()
    currentUsers = serializers.IntegerField()
    threshold = serializers.IntegerField()
    available = serializers.IntegerField(help_text="Room inside.")
    isPaused = serializers.BooleanField()
    isAdmitting = serializers.BooleanField()
    admittedLastMinute = serializers.IntegerField(help_text="From the line.")


class Cleared(Message):
    clearedQueue = serializers.IntegerField(help_text="How many stood in line.")
    clearedActive = serializers.IntegerField(help_text="How many were inside.")


class Policy(serializers.Serializer[Any]):
    """As it counts, defaults filled in."""

    isOn = serializers.BooleanField()
    isPaused = serializers.BooleanField()
    threshold = serializers.IntegerField(help_text="How many may be inside.")
    admissionsPerSecond = serializers.FloatField()
    burst = serializers.IntegerField()
    admissionSeconds = serializers.IntegerField(help_text="How long an admission lasts.")
    idleSeconds = serializers.IntegerField(help_text="In line without a sign of life, until the place is lost.")
    graceSeconds = serializers.IntegerField(help_text="For how long a lost place is given back.")
    activeIdleSeconds = serializers.IntegerField()
    opensAt = Timestamp(allow_null=True, help_text="Who comes before it takes part in a draw of the places.")


class Changes(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """What `policy_changes` refuses and the serializer does not know."""

    target_class = PolicyChanges

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        return {**super().map_serializer(auto_schema, direction), "minProperties": 1, "additionalProperties": False}


class PolicyOfEvent(serializers.Serializer[Any]):
    eventId = serializers.UUIDField()
    policy = Policy()


class Draw(serializers.Serializer[Any]):
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
_WHEN_ASKED_FOR_A_PLACE = refused_with(_MALFORMED, EventNotFound, WaitingRoomUnavailable)
_CHANGE: dict[str, Any] = {
    "summary": "Change the policy",
    "description": "Only what is sent changes; `null` is back to the default. Counts at once.",
    "request": PolicyChanges,
    "responses": {200: PolicyOfEvent},
    "extensions": refused_with(
        _MALFORMED, InvalidInput("Nothing to change. There are isOn, isPaused, ..."), EventNotFound, QueueAlreadyOpen
    ),
}


class Queue(Described):
    target_class = "queueing.views.QueueViewSet"
    tag = "Waiting room"
    examples = EXAMPLES
    operations = {
        "check": extend_schema(
            operation_id="checkQueue",
            summary="Go in, or take a place in line",
            description="Lets the visitor in if nobody waits and there is room. Twice is the same as once.",
            parameters=[QUEUE_PASS, QUEUE_TICKET],
            request=None,
            responses={200: Checked},
            extensions=refused_with(_MALFORMED, EventNotFound, QueueClosed, WaitingRoomUnavailable),
        ),
        "status": extend_schema(
            operation_id="getQueueStatus",
            summary="Where I am",
            description="Counts as a heartbeat.",
            parameters=[QUEUE_PASS, QUEUE_TICKET],
            responses={200: Standing},
            extensions=_WHEN_ASKED_FOR_A_PLACE,
        ),
        "heartbeat": extend_schema(
            operation_id="sendQueueHeartbeat",
            summary="I am still there",
            description="Keeps the place in line, or the admission.",
            parameters=[QUEUE_PASS, QUEUE_TICKET],
            request=None,
            responses={200: Standing},
            extensions=_WHEN_ASKED_FOR_A_PLACE,
        ),
        "leave": extend_schema(
            operation_id="leaveQueue",
            summary="Give up the place, in line or inside",
            request=None,
            responses={200: Message},
            extensions=_WHEN_ASKED_FOR_A_PLACE,
        ),
        "draw": extend_schema(
            operation_id="getQueueDraw",
            summary="The draw of the places, to be checked by anybody",
            parameters=[
                OpenApiParameter(
                    "participants", enum=["all"], description="`all`: with the codes of all who took part."
                )
            ],
            responses={200: Draw},
            extensions=refused_with(_MALFORMED, InvalidInput("Invalid participants"), EventNotFound, NoDraw),
        ),
    }


class QueueAdmin(Described):
    target_class = "queueing.views.QueueAdminViewSet"
    tag = "Waiting room, for administrators"
    examples = EXAMPLES
    operations = {
        "overview": extend_schema(
            operation_id="getQueueOverview",
            summary="How many wait and are inside",
            responses={200: Overview},
            extensions=_WHEN_ASKED_FOR_A_PLACE,
        ),
        "clear": extend_schema(
            operation_id="clearQueue",
            summary="Send everybody away",
            description="From the line and the inside. Passes and tickets that were given before are void.",
            request=None,
            responses={200: Cleared},
            extensions=_WHEN_ASKED_FOR_A_PLACE,
        ),
        "pause": extend_schema(
            operation_id="pauseQueue",
            summary="Let nobody in for now",
            request=None,
            responses={200: Message},
            extensions=refused_with(_MALFORMED, EventNotFound),
        ),
        "resume": extend_schema(
            operation_id="resumeQueue",
            summary="Let people in again",
            request=None,
            responses={200: Message},
            extensions=refused_with(_MALFORMED, EventNotFound),
        ),
        "policy": [
            extend_schema(
                methods=["GET"],
                operation_id="getQueuePolicy",
                summary="The policy, as it counts",
                responses={200: PolicyOfEvent},
                extensions=refused_with(_MALFORMED, EventNotFound),
            ),
            extend_schema(methods=["POST"], operation_id="changeQueuePolicy", **_CHANGE),
            extend_schema(methods=["PATCH"], operation_id="patchQueuePolicy", **_CHANGE),
        ],
    }
