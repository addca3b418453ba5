"""Shapes in and out. The messages about input are the old service's."""

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request

from kernel.errors import InvalidInput
from kernel.http.permissions import user_of
from kernel.http.rest import body_of
from kernel.wire import parse_id, timestamp
from reservations import idempotency
from reservations.services import SeatSale, TicketSale
from seats.models import Seat

MAX_ITEMS = 50


# --- In ---------------------------------------------------------------------------------------------------------------


def seats_asked_for(data: dict[str, Any]) -> tuple[UUID, list[object]]:
    """Event and seats of POST /seats/reserve; the seats' ids are not looked at yet."""
    event_id = parse_id(data.get("eventId"), "Invalid event ID format")
    seat_ids = data.get("seatIds")
    if not isinstance(seat_ids, list) or not seat_ids:
        raise InvalidInput("Please select at least one seat")
    return event_id, seat_ids


def seat_ids(asked: Sequence[object]) -> list[UUID]:
    return [parse_id(seat_id, "Invalid seat ID format") for seat_id in asked]


def tickets_asked_for(data: dict[str, Any]) -> tuple[UUID, dict[UUID, int]]:
    """Event and quantities by ticket type of POST /reservations. A type that is named twice counts twice."""
    event_id = parse_id(data.get("eventId"), "Invalid eventId format")
    items = data.get("items")
    if not isinstance(items, list) or not items:
        raise InvalidInput("티켓을 선택해주세요.")
    if len(items) > MAX_ITEMS:
        raise InvalidInput(f"items may have at most {MAX_ITEMS} entries")
    quantities: dict[UUID, int] = {}
    for item in items:
        type_id, quantity = _ticket_asked_for(item)
        quantities[type_id] = quantities.get(type_id, 0) + quantity
        if quantity < 1:
            quantities[type_id] = min(quantities[type_id], quantity)  # stays refused, whatever else is asked for
    return event_id, quantities


def _ticket_asked_for(item: object) -> tuple[UUID, int]:
    if not isinstance(item, dict):
        raise InvalidInput("Invalid ticketTypeId list")
    type_id, quantity = parse_id(item.get("ticketTypeId"), "Invalid ticketTypeId list"), item.get("quantity")
    if type(quantity) is not int:
        raise InvalidInput("수량은 정수여야 합니다.")
    return type_id, quantity


_PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}")


def named_request(request: Request) -> idempotency.Request | None:
    """The request's Idempotency-Key, if it has one. Raises InvalidInput."""
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return None
    if not _PRINTABLE.fullmatch(key):
        raise InvalidInput("Idempotency-Key must be 1 to 255 printable ASCII characters")
    operation = request.path_info.removeprefix("/api").rstrip("/")
    return idempotency.named_request(
        user_id=UUID(user_of(request).user_id), key=key, path=operation, body=body_of(request)
    )


class Payment(serializers.Serializer[Any]):
    """What the payment service tells."""

    amount = serializers.IntegerField(min_value=0, max_value=2**31 - 1)
    paymentMethod = serializers.CharField(max_length=50)  # noqa: N815 - as on the wire
    paymentId = serializers.CharField(max_length=255)  # noqa: N815


def payment(data: dict[str, Any]) -> dict[str, Any]:
    """{amount, payment_method, payment_id}. Raises InvalidInput, naming the first field that is wrong."""
    if type(data.get("amount")) is not int:
        raise InvalidInput("amount: a whole number is required")
    read = Payment(data=data)
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


def seat_sale(sale: SeatSale) -> dict[str, Any]:
    """A seat's status is the one it had before: recorded so."""
    return {
        "message": "좌석이 선택되었습니다.",
        "reservation": {
            "id": sale.reservation_id,
            "reservationNumber": sale.number,
            "totalAmount": sale.total_amount,
            "expiresAt": timestamp(sale.expires_at),
            "seats": [
                {
                    "id": seat["id"],
                    "seat_label": seat["seat_label"],
                    "price": seat["price"],
                    "status": Seat.Status.AVAILABLE,
                }
                for seat in sale.seats
            ],
        },
    }


def ticket_sale(sale: TicketSale) -> dict[str, Any]:
    return {
        "message": "예매가 완료되었습니다.",
        "reservation": {
            "id": sale.reservation_id,
            "reservationNumber": sale.number,
            "totalAmount": sale.total_amount,
        },
    }


def confirmation(confirmed: dict[str, Any]) -> dict[str, Any]:
    return {
        "message": "결제가 확정되었습니다.",
        "reservation": {
            "id": confirmed["id"],
            "reservationNumber": confirmed["reservation_number"],
            "totalAmount": confirmed["total_amount"],
            "status": confirmed["status"],
        },
    }
