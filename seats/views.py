"""The seat map, for buyers; the status of events, for other services."""

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from events import selectors as events
from kernel.fastpath.response_cache import CacheDependency, cached_response
from kernel.http.permissions import IsInternalService
from kernel.wire import parse_id
from seats import selectors, services
from seats.publishing import seat_map_key


class SeatMapViewSet(ViewSet):
    @action(detail=False)
    def layouts(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        return Response({"layouts": events.layouts()})

    @action(detail=False, url_path="events/(?P<event_id>[^/]+)")
    @cached_response
    def events(self, request: Request, event_id: str) -> tuple[Response, CacheDependency]:  # noqa: ARG002
        wanted = parse_id(event_id, "Invalid event ID format")
        seat_map = selectors.seat_map(wanted)
        headers = {"Seat-Map-Version": str(seat_map.version), "ETag": f'"{seat_map.tag}"'}
        return Response(seat_map.body, headers=headers), CacheDependency(seat_map_key(wanted), seat_map.cached)


class EventStatusViewSet(ViewSet):
    """For other services, after they have written events."""

    permission_classes = [IsInternalService]

    @action(detail=False, methods=["post"])
    def reschedule(self, request: Request) -> Response:  # noqa: ARG002
        return Response({"message": "이벤트 상태를 다시 계산했습니다.", "changed": services.update_statuses()})
