"""Shapes in and out. Messages about invalid input are as recorded."""

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request

from kernel.errors import InvalidInput
from kernel.http.permissions import user_of
from kernel.http.rest import body_of, positive_integer, single_parameters
from kernel.http.urls import DataWithHeaders
from kernel.wire import parse_id, timestamp
from reservations.errors import RESERVATION_STATUS
from reservations.idempotency import IdempotentRequest, idempotent_request
from reservations.models import Reservation
from reservations.selectors import Page, WaitlistPosition
from reservations.services import CancelledPart, Hold, Part, ReservedSeats, ReservedTickets, WaitlistWish, Wish
from seats.models import Seat

MAX_ITEMS = 50
MAX_PART = 100  # items of a part: a reservation has at most so many seats
MAX_QUANTITY = 2**31 - 1
MAX_SECTION = 50


# --- In ---------------------------------------------------------------------------------------------------------------


def requested_seats(data: dict[str, Any]) -> tuple[UUID, list[object]]:
    """Event and seats of POST /seats/reserve. The ids of the seats are not parsed yet: see `parse_seat_ids`."""
    event_id = parse_id(data.get("eventId"), "Invalid event ID format")
    return event_id, seat_list(data)


def seat_list(data: dict[str, Any]) -> list[object]:
    seat_ids = data.get("seatIds")
    if not isinstance(seat_ids, list) or not seat_ids:
        raise InvalidInput("Please select at least one seat")
    return seat_ids


def parse_seat_ids(seat_ids: Sequence[object]) -> list[UUID]:
    return [parse_id(seat_id, "Invalid seat ID format") for seat_id in seat_ids]


def requested_best_seats(data: dict[str, Any]) -> tuple[UUID, Wish]:
    """Event and wish of POST /seats/best-available."""
    event_id = parse_id(data.get("eventId"), "Invalid event ID format")
    quantity, section = data.get("quantity"), data.get("section")
    max_price, is_accessible = data.get("maxPrice"), data.get("accessible", False)
    if type(quantity) is not int:
        raise InvalidInput("수량은 정수여야 합니다.")
    if quantity < 1:
        raise InvalidInput("수량은 1 이상이어야 합니다.")
    if not _may_be_section(section):
        raise InvalidInput(f"section must be a text of 1 to {MAX_SECTION} characters")
    if max_price is not None and not (type(max_price) is int and 0 <= max_price <= MAX_QUANTITY):
        raise InvalidInput("maxPrice must be a whole number of won")
    if type(is_accessible) is not bool:
        raise InvalidInput("accessible must be true or false")
    return event_id, Wish(quantity=quantity, section=section, max_price=max_price, is_accessible=is_accessible)


def requested_tickets(data: dict[str, Any]) -> tuple[UUID, dict[UUID, int]]:
    """Event and quantities by ticket type of POST /reservations. A type that is named twice counts twice."""
    event_id = parse_id(data.get("eventId"), "Invalid eventId format")
    items = data.get("items")
    if not isinstance(items, list) or not items:
        raise InvalidInput("티켓을 선택해주세요.")
    if len(items) > MAX_ITEMS:
        raise InvalidInput(f"items may have at most {MAX_ITEMS} entries")
    quantities: dict[UUID, int] = {}
    for item in items:
        type_id, quantity = _requested_ticket(item)
        quantities[type_id] = quantities.get(type_id, 0) + quantity
        if quantity < 1:
            quantities[type_id] = min(quantities[type_id], quantity)  # stays invalid, whatever the other items say
    return event_id, quantities


def requested_part(request: Request) -> Part | None:
    """What is to be cancelled; None, without `items`, for all."""
    data = body_of(request)
    if "items" not in data:
        return None
    items = data["items"]
    if not isinstance(items, list) or not items:
        raise InvalidInput("취소할 좌석 또는 티켓을 선택해주세요.")
    if len(items) > MAX_PART:
        raise InvalidInput(f"items may have at most {MAX_PART} entries")
    seat_ids: list[UUID] = []
    quantities: dict[UUID, int] = {}
    for item in items:
        if isinstance(item, dict) and "seatId" in item:
            seat_ids.append(parse_id(item["seatId"], "Invalid seat ID format"))
            continue
        type_id, quantity = _requested_ticket(item)
        if not 1 <= quantity <= MAX_QUANTITY:
            raise InvalidInput("수량은 1 이상이어야 합니다.")
        quantities[type_id] = quantities.get(type_id, 0) + quantity
    return Part(seat_ids=list(dict.fromkeys(seat_ids)), quantities=quantities, request_key=idempotency_key(request))


def waitlist_wish(data: dict[str, Any]) -> WaitlistWish:
    """What somebody wants to wait for. Raises InvalidInput."""
    quantity, section, type_id = data.get("quantity"), data.get("section"), data.get("ticketTypeId")
    if type(quantity) is not int:
        raise InvalidInput("수량은 정수여야 합니다.")
    if not 1 <= quantity <= MAX_QUANTITY:
        raise InvalidInput("수량은 1 이상이어야 합니다.")
    if section is not None and type_id is not None:
        raise InvalidInput("section and ticketTypeId exclude each other")
    if not _may_be_section(section):
        raise InvalidInput("Invalid section")
    ticket_type_id = None if type_id is None else parse_id(type_id, "Invalid ticketTypeId format")
    return WaitlistWish(quantity=quantity, section=section, ticket_type_id=ticket_type_id)


def _may_be_section(section: Any) -> bool:
    return section is None or (isinstance(section, str) and 1 <= len(section) <= MAX_SECTION and "\0" not in section)


def _requested_ticket(item: object) -> tuple[UUID, int]:
    if not isinstance(item, dict):
        raise InvalidInput("Invalid ticketTypeId list")
    type_id, quantity = parse_id(item.get("ticketTypeId"), "Invalid ticketTypeId list"), item.get("quantity")
    if type(quantity) is not int:
        raise InvalidInput("수량은 정수여야 합니다.")
    return type_id, quantity


_PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}")


def idempotency_key(request: Request) -> str | None:
    key: str | None = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not _PRINTABLE.fullmatch(key):
        raise InvalidInput("Idempotency-Key must be 1 to 255 printable ASCII characters")
    return key


def idempotent(request: Request) -> IdempotentRequest | None:
    """The request with its Idempotency-Key, if it has one. Raises InvalidInput."""
    key = idempotency_key(request)
    if key is None:
        return None
    operation = request.path_info.removeprefix("/api").rstrip("/")
    return idempotent_request(user_id=UUID(user_of(request).user_id), key=key, path=operation, body=body_of(request))


MAX_PAGE = 100


def wanted_page(request: Request) -> Page:
    """The page of a list, by `page` and `limit`; without them, all. Raises InvalidInput."""
    given = single_parameters(request, "page", "limit")
    if not given:
        return Page()
    return Page(
        number=positive_integer(given.get("page", "1"), "page"),
        limit=min(positive_integer(given.get("limit", "10"), "limit"), MAX_PAGE),
        is_numbered=True,
    )


MAX_REFUNDS = 500


def wanted_refunds(request: Request) -> dict[str, Any]:
    """{after, limit} of the list of refunds. Raises InvalidInput."""
    given = single_parameters(request, "after", "limit")
    after = parse_id(given["after"], "Invalid after format") if "after" in given else None
    return {"after": after, "limit": min(positive_integer(given.get("limit", "100"), "limit"), MAX_REFUNDS)}


class PaymentSerializer(serializers.Serializer[Any]):
    """A payment, from the payment service."""

    amount = serializers.IntegerField(min_value=0, max_value=2**31 - 1)
    paymentMethod = serializers.CharField(max_length=50)  # noqa: N815 - as on the wire
    paymentId = serializers.CharField(max_length=255)  # noqa: N815


def payment(data: dict[str, Any]) -> dict[str, Any]:
    """{amount, payment_method, payment_id}. Raises InvalidInput, which names the first invalid field."""
    if type(data.get("amount")) is not int:
        raise InvalidInput("amount: a whole number is required")
    read = PaymentSerializer(data=data)
    if not read.is_valid():
        field, problems = next(iter(read.errors.items()))
        raise InvalidInput(f"{field}: {problems[0]}")
    given = read.validated_data
    return {
        "amount": given["amount"],
        "payment_method": given["paymentMethod"],
        "payment_id": given["paymentId"],
    }


# --- Out --------------------------------------------------------------------------------------------------------------


def reserved_seats(
    reserved: ReservedSeats, *, message: str = "좌석이 선택되었습니다.", status: str = Seat.Status.AVAILABLE
) -> dict[str, Any]:
    """`status` is that of the seats: of a new reservation the one before, which is recorded so."""
    return {
        "message": message,
        "reservation": {
            "id": reserved.reservation_id,
            "reservationNumber": reserved.number,
            "totalAmount": reserved.total_amount,
            "expiresAt": timestamp(reserved.expires_at),
            "seats": [
                {
                    "id": seat["id"],
                    "seat_label": seat["seat_label"],
                    "price": seat["price"],
                    "status": status,
                }
                for seat in reserved.seats
            ],
        },
    }


def reserved_tickets(reserved: ReservedTickets) -> dict[str, Any]:
    return {
        "message": "예매가 완료되었습니다.",
        "reservation": {
            "id": reserved.reservation_id,
            "reservationNumber": reserved.number,
            "totalAmount": reserved.total_amount,
        },
    }


def confirmation(confirmed: dict[str, Any]) -> DataWithHeaders:
    """The first response to a payment; the header tells what has become of the reservation since."""
    data = {
        "message": "결제가 확정되었습니다.",
        "reservation": {
            "id": confirmed["id"],
            "reservationNumber": confirmed["reservation_number"],
            "totalAmount": confirmed["total_amount"],
            "status": Reservation.Status.CONFIRMED,
        },
    }
    return DataWithHeaders(data, {RESERVATION_STATUS: confirmed["current_status"]})


def hold(found: Hold) -> dict[str, Any]:
    return {
        "id": found.reservation_id,
        "reservationNumber": found.number,
        "totalAmount": found.total_amount,
        "status": Reservation.Status.PENDING,
        "expiresAt": timestamp(found.expires_at),
        "latestExpiresAt": timestamp(found.latest),
        "isBeingPaid": found.is_being_paid,
    }


def waitlist_position(event_id: UUID, found: WaitlistPosition) -> dict[str, Any]:
    offer = {
        "reservationId": found.reservation_id,
        "reservationNumber": found.number,
        "totalAmount": found.total_amount,
        "expiresAt": timestamp(found.expires_at),
    }
    return {
        "eventId": event_id,
        "state": found.state,
        "position": found.position,
        "quantity": found.quantity,
        "section": found.section,
        "ticketTypeId": found.ticket_type_id,
        "joinedAt": timestamp(found.joined_at),
        "offer": offer if found.reservation_id else None,
    }


def cancelled(reservation_id: UUID, part: CancelledPart | None) -> dict[str, Any]:
    if part is None:
        return {"message": "예매가 취소되었습니다."}
    return {
        "message": "예매의 일부가 취소되었습니다." if part.total_amount else "예매가 취소되었습니다.",
        "refundAmount": part.refund_amount,
        "reservation": {"id": reservation_id, "totalAmount": part.total_amount},
    }


def refund(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "reservationId": row["reservation_id"],
        "reservationNumber": row["reservation_number"],
        "userId": row["user_id"],
        "paymentId": row["payment_id"],
        "paymentMethod": row["payment_method"],
        "amount": row["amount"],
        "reason": row["reason"],
        "items": row["items"],
        "dueAt": timestamp(row["due_at"]),
        "doneAt": timestamp(row["done_at"]),
    }
