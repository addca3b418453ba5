"""Reservations, for buyers; payments, refunds and cancelled events, for other services."""

from typing import Any
from uuid import UUID

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from contacts import services as contacts
from kernel.http.permissions import BearerToken, IsAuthenticated, IsInternalService, MayConfirm, MayRefund, user_of
from kernel.http.rest import body_of
from kernel.http.urls import fast_path
from kernel.wire import parse_id
from queueing import services as queueing
from queueing.services import Visitor
from reservations import entry_codes, selectors, serializers, services
from seats.models import Seat

EVENT = "(?P<event_id>[^/]+)"
FOR_BUYERS: dict[str, Any] = {"authentication_classes": [BearerToken], "permission_classes": [IsAuthenticated]}


def buyer(request: Request) -> UUID:
    return UUID(user_of(request).user_id)


def visitor(request: Request, event_id: UUID) -> Visitor:
    """The buyer, with the pass of the admission if there is one."""
    return queueing.identify_visitor(
        event_id=event_id, user_id=buyer(request), pass_=request.META.get("HTTP_QUEUE_PASS", "")
    )


def keep_contact(request: Request) -> None:
    """After something was reserved or is waited for: mail about it goes there, where mail is on."""
    contacts.keep_contact(user_of(request), accept_language=request.META.get("HTTP_ACCEPT_LANGUAGE", ""))


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
        keep_contact(request)
        return serializers.reserved_seats(reserved)

    @action(detail=False, methods=["post"], url_path="best-available", **FOR_BUYERS)
    @fast_path(status=201)
    def best_available(self, request: Request) -> dict[str, Any]:
        event_id, wish = serializers.requested_best_seats(body_of(request))
        idempotent_request = serializers.idempotent(request)
        services.check_seat_limit(event_id=event_id, count=wish.quantity, request=idempotent_request)
        reserved = services.reserve_best_seats(
            buyer=visitor(request, event_id), event_id=event_id, wish=wish, request=idempotent_request
        )
        keep_contact(request)
        return serializers.reserved_seats(reserved)

    @action(detail=False, url_path="reservation/(?P<reservation_id>[^/]+)", **FOR_BUYERS)
    def reservation(self, request: Request, reservation_id: str) -> Response:
        wanted = parse_id(reservation_id, "Invalid reservation ID format")
        return Response({"reservation": selectors.seat_reservation(user_id=buyer(request), reservation_id=wanted)})


class EntryKeyViewSet(ViewSet):
    """Below /reservations: what entry codes are verified with."""

    @action(detail=False, url_path="entry-keys")
    def entry_keys(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        return Response({"keys": entry_codes.public_keys()})


class EntryCodeViewSet(ViewSet):
    """Below /reservations: what a buyer shows at the door."""

    lookup_value_regex = "[^/]+"

    @action(detail=True, url_path="entry-codes", **FOR_BUYERS)
    def entry_codes(self, request: Request, pk: str) -> Response:
        wanted = parse_id(pk, "Invalid id format")
        found = selectors.entry_codes(user_id=buyer(request), reservation_id=wanted)
        return Response({"entryCodes": found})


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
        keep_contact(request)
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
        reservation_id = parse_id(pk, "Invalid id format")
        part = serializers.requested_part(request)
        cancelled = services.cancel(user_id=buyer(request), reservation_id=reservation_id, part=part)
        return serializers.cancelled(reservation_id, cancelled)

    @action(detail=True, methods=["post"])
    @fast_path()
    def extend(self, request: Request, pk: str) -> dict[str, Any]:
        reservation_id = parse_id(pk, "Invalid id format")
        extended = services.extend_hold(user_id=buyer(request), reservation_id=reservation_id)
        return {"message": "예매 시간이 연장되었습니다.", "reservation": serializers.hold(extended)}

    @action(detail=True, methods=["post"])
    @fast_path()
    def seats(self, request: Request, pk: str) -> dict[str, Any]:
        seat_ids = serializers.parse_seat_ids(serializers.seat_list(body_of(request)))
        held = services.seats_held(user_id=buyer(request), reservation_id=parse_id(pk, "Invalid id format"))
        changed = services.change_seats(buyer=visitor(request, held.event_id), held=held, seat_ids=seat_ids)
        return serializers.reserved_seats(changed, message="좌석이 변경되었습니다.", status=Seat.Status.LOCKED)


class WaitlistViewSet(ViewSet):
    """Waiting for places of an event that is sold out."""

    authentication_classes = [BearerToken]
    permission_classes = [IsAuthenticated]

    @action(detail=False, methods=["get", "post"], url_path=EVENT)
    def position(self, request: Request, event_id: str) -> Response:
        wanted = parse_id(event_id, "Invalid event ID format")
        if request.method == "GET":
            found = selectors.waitlist_position(user_id=buyer(request), event_id=wanted)
            return Response({"waitlist": serializers.waitlist_position(wanted, found)})
        wish = serializers.waitlist_wish(body_of(request))
        joined = services.join_waitlist(user_id=buyer(request), event_id=wanted, wish=wish)
        keep_contact(request)
        waitlist = serializers.waitlist_position(wanted, joined)
        return Response({"message": "대기자 명단에 등록되었습니다.", "waitlist": waitlist}, status=201)

    @action(detail=False, methods=["post"], url_path=f"{EVENT}/leave")
    def leave(self, request: Request, event_id: str) -> Response:
        wanted = parse_id(event_id, "Invalid event ID format")
        services.leave_waitlist(user_id=buyer(request), event_id=wanted)
        return Response({"message": "대기가 취소되었습니다."})


class SaleViewSet(ViewSet):
    """Below /events: the terms of an event's sale."""

    lookup_value_regex = "[^/]+"

    @action(detail=True)
    @fast_path()
    def sale(self, request: Request, pk: str) -> dict[str, Any]:  # noqa: ARG002 - DRF's signature
        return selectors.sale_terms(parse_id(pk, "Invalid id format"))


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

    @action(detail=True, methods=["post"], url_path="begin-payment", permission_classes=[MayConfirm])
    @fast_path()
    def begin_payment(self, request: Request, pk: str) -> dict[str, Any]:  # noqa: ARG002
        held = services.begin_payment(reservation_id=parse_id(pk, "Invalid id format"))
        return {"message": "결제가 시작되었습니다.", "reservation": serializers.hold(held)}

    @action(detail=True, methods=["post"], url_path="fail-payment", permission_classes=[MayConfirm])
    @fast_path()
    def fail_payment(self, request: Request, pk: str) -> dict[str, Any]:  # noqa: ARG002
        held = services.fail_payment(reservation_id=parse_id(pk, "Invalid id format"))
        return {"message": "결제 실패가 기록되었습니다.", "reservation": serializers.hold(held)}

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


class InternalRefundViewSet(ViewSet):
    """For the payment service: what is to be given back, until it says that it was."""

    permission_classes = [MayRefund]
    lookup_value_regex = "[^/]+"

    def list(self, request: Request) -> Response:
        found, has_more = selectors.refunds_due(**serializers.wanted_refunds(request))
        return Response({"refunds": [serializers.refund(row) for row in found], "hasMore": has_more})

    @action(detail=True, methods=["post"])
    def done(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        settled = services.settle_refund(refund_id=parse_id(pk, "Invalid id format"))
        return Response({"message": "환불 처리되었습니다.", "refund": serializers.refund(settled)})
