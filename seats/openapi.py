"""The seat map and the status of events, for the OpenAPI document."""

from pathlib import Path
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers

from kernel.errors import InvalidInput
from kernel.openapi.schema import MessageSerializer, ViewDescription, raises
from seats import errors
from seats.models import Seat as SeatModel

EXAMPLES = Path(__file__).with_name("openapi_examples.json")


class Layout(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    total_seats = serializers.IntegerField()
    layout_config = serializers.JSONField(
        help_text="`{sections: [{name, rows, seatsPerRow, price, startRow}]}`, and what the organiser's tool adds."
    )


class Layouts(serializers.Serializer[Any]):
    layouts = Layout(many=True, help_text="Smallest first.")


class SeatMapEvent(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    title = serializers.CharField()


class Seat(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    section = serializers.CharField()
    row_number = serializers.IntegerField()
    seat_number = serializers.IntegerField()
    seat_label = serializers.CharField()
    price = serializers.IntegerField(help_text="Won.")
    status = serializers.ChoiceField(
        [*SeatModel.Status.values, "reserved"],
        help_text="`locked`: held by a buyer who has yet to pay. A sold seat is `reserved` where the operator"
        " has chosen so for an old web client (`SOLD_SEAT_WIRE_VALUE`).",
    )


class SeatMap(serializers.Serializer[Any]):
    event = SeatMapEvent()
    layout = serializers.JSONField(help_text="The `layout_config` of the event's layout.")
    seats = Seat(many=True, help_text="By section, row and seat.")


class StatusesRecomputed(MessageSerializer):
    changed = serializers.IntegerField(help_text="How many events have another status now.")


class SeatMaps(ViewDescription):
    target_class = "seats.views.SeatMapViewSet"
    tag = "Seats"
    examples = EXAMPLES
    operations = {
        "layouts": extend_schema(operation_id="listLayouts", summary="All seat layouts", responses={200: Layouts}),
        "events": extend_schema(
            operation_id="getSeatMap",
            summary="The seat map of an event",
            parameters=[
                OpenApiParameter(
                    "Seat-Map-Version",
                    OpenApiTypes.INT,
                    OpenApiParameter.HEADER,
                    description="Grows with each change; the messages on `/ws/seats` carry the next ones.",
                    response=[200],
                )
            ],
            responses={200: SeatMap},
            extensions=raises(
                InvalidInput("Invalid event ID format"), errors.SeatMapEventNotFound, errors.NoSeatSelection
            ),
        ),
    }


class EventStatus(ViewDescription):
    target_class = "seats.views.EventStatusViewSet"
    tag = "For other services"
    examples = EXAMPLES
    operations = {
        "reschedule": extend_schema(
            operation_id="rescheduleEventStatus",
            summary="Events were written: recompute their status",
            request=None,
            responses={200: StatusesRecomputed},
        )
    }
