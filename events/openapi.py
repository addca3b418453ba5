"""Events, for the OpenAPI document."""

from pathlib import Path
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers

from events.errors import EventNotFound
from events.models import Event as EventModel
from events.search.finding import Rank
from events.views import MAX_PAGE, MAX_SEARCH
from kernel.errors import InvalidInput
from kernel.openapi.schema import RATE_LIMITED, Timestamp, ViewDescription, raises

EXAMPLES = Path(__file__).with_name("openapi_examples.json")

# --- Shapes -----------------------------------------------------------------------------------------------------------


class TicketTypeSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    price = serializers.IntegerField(help_text="Won.")
    total_quantity = serializers.IntegerField()
    available_quantity = serializers.IntegerField(help_text="Neither reserved nor sold.")
    description = serializers.CharField(allow_null=True)


class EventInListSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    title = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    venue = serializers.CharField()
    address = serializers.CharField(allow_null=True)
    event_date = Timestamp()
    sale_start_date = Timestamp()
    sale_end_date = Timestamp()
    poster_image_url = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(EventModel.Status.choices)
    artist_name = serializers.CharField(allow_null=True)
    ticket_type_count = serializers.RegexField(r"^[0-9]+$", help_text="A string of digits.")
    min_price = serializers.IntegerField(allow_null=True, help_text="Won; null without ticket types.")
    max_price = serializers.IntegerField(allow_null=True)


class EventSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    title = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    venue = serializers.CharField()
    address = serializers.CharField(allow_null=True)
    event_date = Timestamp()
    sale_start_date = Timestamp()
    sale_end_date = Timestamp()
    poster_image_url = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(
        EventModel.Status.choices, help_text="May lag behind the dates by a second or two; the dates decide."
    )
    seat_layout_id = serializers.UUIDField(allow_null=True, help_text="null: no seat selection.")
    artist_name = serializers.CharField(allow_null=True)
    created_at = Timestamp()
    updated_at = Timestamp()


class PaginationSerializer(serializers.Serializer[Any]):
    page = serializers.IntegerField(min_value=1)
    limit = serializers.IntegerField(min_value=1, max_value=MAX_PAGE)
    total = serializers.IntegerField()
    totalPages = serializers.IntegerField()
    exact = serializers.IntegerField(
        required=False,
        help_text="Only of a search: so many of the first events fit, and those behind them are only similar. Absent if"
        " all fit.",
    )


@extend_schema_serializer(many=False)
class EventListSerializer(serializers.Serializer[Any]):
    events = EventInListSerializer(many=True)
    pagination = PaginationSerializer()


class SuggestionSerializer(serializers.Serializer[Any]):
    text = serializers.CharField(help_text="A title, artist, venue or address, as the event has it.")
    field = serializers.ChoiceField(
        ["artist", "title", "venue", "address", "alias"],
        help_text="Whose text it is. `alias`: `matched` is another spelling of it.",
    )
    matched = serializers.CharField(help_text="What was found, folded: in lower case, without accents.")
    start = serializers.IntegerField(allow_null=True, help_text="Where `matched` begins in `text`, in characters.")
    end = serializers.IntegerField(allow_null=True, help_text="Behind its last character.")
    match = serializers.ChoiceField([rank.name.lower() for rank in Rank], help_text="How well it fits, best first.")
    eventId = serializers.UUIDField(help_text="The best event with this text.")


class SuggestionsSerializer(serializers.Serializer[Any]):
    suggestions = SuggestionSerializer(many=True)


class EventDetailSerializer(serializers.Serializer[Any]):
    event = EventSerializer()
    ticketTypes = TicketTypeSerializer(many=True, help_text="Dearest first.")


# --- Operations -------------------------------------------------------------------------------------------------------


class Events(ViewDescription):
    target_class = "events.views.EventViewSet"
    tag = "Events"
    examples = EXAMPLES
    operations = {
        "list": extend_schema(
            operation_id="listEvents",
            summary="Events, a page at a time",
            description="In the order of `sale_start_date`, or with `q` the best first (at most 1000); then those on sale"
            " before upcoming ones before the rest. Cached for up to 30 s; a change of an event invalidates it.",
            parameters=[
                OpenApiParameter("status", enum=EventModel.Status.values, description="Only events with this status."),
                OpenApiParameter(
                    "q",
                    {"type": "string", "maxLength": MAX_SEARCH},
                    description="Words in any order, or parts of them, of title, artist, venue and address, in Korean or"
                    " English, also as initials, half typed, or on the wrong keyboard. `%`, `_` and `\\` are literal.",
                ),
                OpenApiParameter("page", {"type": "integer", "minimum": 1, "default": 1}),
                OpenApiParameter(
                    "limit",
                    {"type": "integer", "minimum": 1, "default": 10},
                    description=f"More than {MAX_PAGE} counts as {MAX_PAGE}.",
                ),
            ],
            responses={200: EventListSerializer},
            extensions=raises(InvalidInput("page must be a positive integer"), RATE_LIMITED),
        ),
        "suggest": extend_schema(
            operation_id="suggestEvents",
            summary="Names that fit what somebody types",
            description="At most eight, the best first, each once. Cached like the list.",
            parameters=[OpenApiParameter("q", {"type": "string", "maxLength": MAX_SEARCH})],
            responses={200: SuggestionsSerializer},
            extensions=raises(InvalidInput("q may be given only once"), RATE_LIMITED),
        ),
        "retrieve": extend_schema(
            operation_id="getEvent",
            summary="An event and its ticket types",
            responses={200: EventDetailSerializer},
            extensions=raises(InvalidInput("Invalid id format"), EventNotFound),
        ),
    }
