"""Reading reservations."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Prefetch
from django.db.models.functions import Now

from events.errors import EventNotFound
from events.models import Event
from kernel.wire import timestamp
from reservations.errors import ReservationNotFound, SeatReservationNotFound
from reservations.models import Reservation, ReservationItem

# Whether a row of `reservations` is a hold past its deadline. It has expired to every operation, swept or not.
IS_OVERDUE = "(status = 'pending' AND deadline IS NOT NULL AND deadline <= now())"


MAX_RESERVATIONS = 1000  # of a list without pages


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which of a buyer's reservations are asked for. `number` and `limit` start at 1; without pages it is the first one."""

    number: int = 1
    limit: int = MAX_RESERVATIONS
    is_numbered: bool = False


def my_reservations(user_id: UUID, page: Page) -> dict[str, Any]:
    """A buyer's reservations, newest first: `reservations`, and `pagination` if pages are numbered."""
    all_mine = Reservation.objects.filter(user_id=user_id)
    first = (page.number - 1) * page.limit
    total = all_mine.count() if page.is_numbered else None
    mine = all_mine.order_by("-created_at", "-id")[first : first + page.limit]
    reservations = [
        {
            "id": found.id,
            "reservation_number": found.reservation_number,
            "total_amount": found.total_amount,
            "status": found.status,
            "payment_status": found.payment_status,
            "created_at": timestamp(found.created_at),
            "event_title": found.event.title if found.event else None,
            "venue": found.event.venue if found.event else None,
            "event_date": timestamp(found.event.event_date) if found.event else None,
            "items": [_item(item) for item in found.items.all()],
        }
        for found in (_with_items(mine) if total is None or first < total else ())
    ]
    if total is None:
        return {"reservations": reservations}
    pages = -(-total // page.limit)
    pagination = {"page": page.number, "limit": page.limit, "total": total, "totalPages": pages}
    return {"reservations": reservations, "pagination": pagination}


def reservation(*, user_id: UUID, reservation_id: UUID) -> dict[str, Any]:
    """One of a buyer's reservations. Raises ReservationNotFound, also for another buyer's."""
    found = _with_items(Reservation.objects.filter(id=reservation_id, user_id=user_id)).first()
    if found is None:
        raise ReservationNotFound
    items = [{**_item(item), **_seat_of(item)} for item in found.items.all()]
    return {**_head(found), "address": found.event.address if found.event else None, "items": items}


def seat_reservation(*, user_id: UUID, reservation_id: UUID) -> dict[str, Any]:
    """A buyer's reservation, of seats or tickets, with its deadline.

    Raises SeatReservationNotFound, also when the event was deleted.
    """
    mine = Reservation.objects.filter(id=reservation_id, user_id=user_id, event__isnull=False)
    found = _with_items(mine).annotate(read_at=Now()).first()
    if found is None:
        raise SeatReservationNotFound
    seats = [_claimed(item) for item in found.items.all()]
    answer = {**_head(found), "expires_at": timestamp(found.deadline), "seats": seats}
    if found.status != Reservation.Status.CONFIRMED and found.deadline is not None and found.deadline <= found.read_at:
        answer["isExpired"] = True
    return answer


def _with_items(reservations: Any) -> Any:
    items = ReservationItem.objects.select_related("seat", "ticket_type").order_by("created_at", "-unit_price", "id")
    return reservations.select_related("event").prefetch_related(Prefetch("items", items))


def _head(found: Reservation) -> dict[str, Any]:
    return {
        "id": found.id,
        "reservation_number": found.reservation_number,
        "total_amount": found.total_amount,
        "status": found.status,
        "payment_status": found.payment_status,
        "payment_method": found.payment_method,
        "created_at": timestamp(found.created_at),
        "event_id": found.event.id if found.event else None,
        "event_title": found.event.title if found.event else None,
        "venue": found.event.venue if found.event else None,
        "event_date": timestamp(found.event.event_date) if found.event else None,
    }


def _item(item: ReservationItem) -> dict[str, Any]:
    name = item.ticket_type.name if item.ticket_type else item.seat.seat_label if item.seat else None
    return {"ticketTypeName": name, "quantity": item.quantity, "unitPrice": item.unit_price, "subtotal": item.subtotal}


def _claimed(item: ReservationItem) -> dict[str, Any]:
    """A seat, or, with null for what only seats have, a quantity of tickets."""
    seat = item.seat
    claimed = {
        "seatId": seat.id if seat else None,
        "seatLabel": seat.seat_label if seat else None,
        "section": seat.section if seat else None,
        "rowNumber": seat.row_number if seat else None,
        "seatNumber": seat.seat_number if seat else None,
        "price": item.unit_price,
    }
    return claimed if seat else {**claimed, "ticketTypeName": _item(item)["ticketTypeName"], "quantity": item.quantity}


def _seat_of(item: ReservationItem) -> dict[str, Any]:
    return {
        "seatLabel": item.seat.seat_label if item.seat else None,
        "section": item.seat.section if item.seat else None,
    }


# --- The terms of a sale ----------------------------------------------------------------------------------------------


def sale_terms(event_id: UUID) -> dict[str, Any]:
    """What a client needs to know of an event's sale that recorded responses do not tell. Raises EventNotFound.

    A field for each feature; each is made by a function of the event.
    """
    event = Event.objects.filter(id=event_id).first()
    if event is None:
        raise EventNotFound
    return {"eventId": event.id, "limits": _limits(event)}


def _limits(event: Event) -> dict[str, int]:
    """What a buyer may have. Times are in seconds; a 0 is no limit."""
    return {
        "maxTicketsPerBuyer": event.max_tickets_per_buyer or settings.MAX_TICKETS_PER_BUYER,
        "maxSeatsPerReservation": event.max_seats_per_reservation or settings.MAX_SEATS_PER_RESERVATION,
        "holdSeconds": settings.RESERVATION_SECONDS,
        "relockSeconds": settings.RELOCK_SECONDS,
        "unpaidHoldSeconds": settings.UNPAID_HOLD_SECONDS,
        "unpaidHoldWindowSeconds": settings.UNPAID_HOLD_WINDOW_SECONDS,
    }
