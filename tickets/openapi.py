"""Ticket types, for the OpenAPI document."""

from pathlib import Path
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers

from events.openapi import TicketTypeSerializer
from kernel.errors import InvalidInput
from kernel.openapi.schema import ViewDescription, raises
from tickets.errors import TicketTypeNotFound

EXAMPLES = Path(__file__).with_name("openapi_examples.json")


class TicketTypesSerializer(serializers.Serializer[Any]):
    ticketTypes = TicketTypeSerializer(
        many=True, help_text="Most expensive first. Empty for an event that does not exist."
    )


class AvailabilitySerializer(serializers.Serializer[Any]):
    available_quantity = serializers.IntegerField(help_text="Neither held nor sold.")
    total_quantity = serializers.IntegerField()


class Tickets(ViewDescription):
    target_class = "tickets.views.TicketViewSet"
    tag = "Tickets"
    examples = EXAMPLES
    operations = {
        "event": extend_schema(
            operation_id="listTicketTypes",
            summary="List the ticket types of an event",
            responses={200: TicketTypesSerializer},
            extensions=raises(InvalidInput("Invalid eventId format")),
        ),
        "availability": extend_schema(
            operation_id="getAvailability",
            summary="Get the stock of a ticket type",
            description="Never cached: never older than the last commit.",
            responses={200: AvailabilitySerializer},
            extensions=raises(InvalidInput("Invalid ticketTypeId format"), TicketTypeNotFound),
        ),
    }
