"""Reservations, for buyers; payments, refunds and cancelled events, for other services."""

from typing import Any
from uuid import UUID

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from kernel.http.permissions import BearerToken, IsAuthenticated, IsInternalService, MayConfirm, MayRefund, user_of
from kernel.http.rest import body_of
from kernel.http.urls import fast_path
from kernel.wire import parse_id
from queueing import services as queueing
from queueing.services import Visitor
from reservations import selectors, serializers, services

FOR_BUYERS: dict[str, Any] = {"authentication_classes": [BearerToken], "permission_classes": [IsAuthenticated]}


def buyer(request: Request) -> UUID:
    return UUID(user_of(request).user_id)


def visitor(request: Request, event_id: UUID) -> Visitor:
    """The buyer, with the pass of the admission if there is one."""
    return queueing.identify_visitor(
        event_id=event_id, user_id=buyer(request), pass_=request.META.get("HTTP_QUEUE_PASS", "")
    )


class SeatReservationViewSet(ViewSet):
    """Below /seats: reserving seats, and reading such a reservation."""

    @action(detail=False, methods=["post"], **FOR_BUYERS)
    @fast_path(status=201)
    def reserve(self, request: Request) -> dict[str, Any]:
        event_id, seat_ids = serializers.requested_seats(body_of(request))
        idempotent_request = serializers.idempotent(request)
        services.check_seat_limit(event_id=event_id, count=len(seat_ids), request=idempotent_request)
        reserved = services.reserve_seats(
            buyer=visitor(request, event_id),
            event_id=event_id,
            seat_ids=serializers.parse_seat_ids(seat_ids),
            request=idempotent_request,
        )
        return serializers.reserved_seats(reserved)

    @action(detail=False, url_path="reservation/(?P<reservation_id>[^/]+)", **FOR_BUYERS)
    def reservation(self, request: Request, reservation_id: str) -> Response:
        wanted = parse_id(reservation_id, "Invalid reservation ID format")
        return Response({"reservation": selectors.seat_reservation(user_id=buyer(request), reservation_id=wanted)})


class ReservationViewSet(ViewSet):
    authentication_classes = [BearerToken]
    permission_classes = [IsAuthenticated]
    lookup_value_regex = "[^/]+"

    @fast_path(status=201)
    def create(self, request: Request) -> dict[str, Any]:
        event_id, quantities = serializers.requested_tickets(body_of(request))
        reserved = services.reserve_tickets(
            buyer=visitor(request, event_id),
            event_id=event_id,
            quantities=quantities,
            request=serializers.idempotent(request),
        )
        return serializers.reserved_tickets(reserved)

    @action(detail=False)
    def my(self, request: Request) -> Response:
        page = serializers.wanted_page(request)
        found = selectors.my_reservations(buyer(request), page)
        return Response(found, headers={"Reservations-Limit": str(page.limit)})

    def retrieve(self, request: Request, pk: str) -> Response:
        wanted = parse_id(pk, "Invalid id format")
        return Response({"reservation": selectors.reservation(user_id=buyer(request), reservation_id=wanted)})

    @action(detail=True, methods=["post"])
    @fast_path()
    def cancel(self, request: Request, pk: str) -> dict[str, Any]:
        services.cancel_reservation(user_id=buyer(request), reservation_id=parse_id(pk, "Invalid id format"))
        return {"message": "예매가 취소되었습니다."}


class InternalEventViewSet(ViewSet):
    """For other services: an event is cancelled."""

    permission_classes = [IsInternalService]
    lookup_value_regex = "[^/]+"

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        ended = services.cancel_event(event_id=parse_id(pk, "Invalid id format"))
        return Response({"message": "이벤트가 취소되었습니다.", "cancelledReservations": ended})


class InternalReservationViewSet(ViewSet):
    """For the payment service."""

    permission_classes = [IsInternalService]
    lookup_value_regex = "[^/]+"

    @action(detail=True, methods=["post"], permission_classes=[MayConfirm])
    @fast_path()
    def confirm(self, request: Request, pk: str) -> dict[str, Any]:
        reservation_id = parse_id(pk, "Invalid id format")
        confirmed = services.confirm_reservation(reservation_id=reservation_id, **serializers.payment(body_of(request)))
        return serializers.confirmation(confirmed)

    @action(detail=True, methods=["post"], permission_classes=[MayRefund])
    def refund(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        services.refund_reservation(reservation_id=parse_id(pk, "Invalid id format"))
        return Response({"message": "환불 처리되었습니다."})
