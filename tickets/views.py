"""GET /tickets/event/:eventId and GET /tickets/availability/:ticketTypeId."""

from collections.abc import Mapping

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from events.selectors import ticket_types_of
from kernel.http.urls import fast_path
from kernel.wire import parse_id
from tickets import selectors


class TicketViewSet(ViewSet):
    @action(detail=False, url_path="event/(?P<event_id>[^/]+)")
    def event(self, request: Request, event_id: str) -> Response:  # noqa: ARG002 - DRF's signature
        return Response({"ticketTypes": ticket_types_of(parse_id(event_id, "Invalid eventId format"))})

    @action(detail=False, url_path="availability/(?P<ticket_type_id>[^/]+)")
    @fast_path()
    def availability(self, request: Request, ticket_type_id: str) -> Mapping[str, object]:  # noqa: ARG002
        return selectors.availability(parse_id(ticket_type_id, "Invalid ticketTypeId format"))
