"""Reading reservations."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Prefetch
from django.db.models.functions import Now

from events.errors import EventNotFound
from events.models import Event
from kernel.db.sql import fetch_all
from kernel.wire import timestamp
from queueing.selectors import join_challenge_parameters
from reservations import entry_codes as codes
from reservations.errors import NotPaid, RefundNotFound, ReservationNotFound, SeatReservationNotFound
from reservations.models import Refund, Reservation, ReservationItem, WaitlistEntry

# Whether a row of `reservations` is a hold past its deadline. It has expired to every operation, swept or not.
IS_OVERDUE = "(status = 'pending' AND deadline IS NOT NULL AND deadline <= now())"
# Whether somebody is paying for it. Such a hold can neither be cancelled nor given other seats.
IS_BEING_PAID = "(status = 'pending' AND payment_began_at IS NOT NULL AND deadline > now())"
# Until when a paid reservation of an event `e` may be cancelled by its buyer; never after the event began.
CANCELLABLE_UNTIL = "(e.event_date - make_interval(hours => coalesce(e.cancellation_hours, %(cancellation_hours)s)))"
# Whether that is still ahead for a row of `reservations`. The buyer of a deleted event may cancel.
IS_CANCELLABLE = (
    f"coalesce((SELECT now() < {CANCELLABLE_UNTIL} FROM events e WHERE e.id = reservations.event_id), true)"
)


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


# --- Payments and refunds ---------------------------------------------------------------------------------------------


def payment_terms(event: Event) -> dict[str, Any]:
    """How long paying may take, and until when a paid reservation may be cancelled. Times are in seconds."""
    own, default = event.cancellation_hours, settings.CANCELLATION_HOURS
    until = event.event_date - timedelta(hours=default if own is None else own)
    return {
        "cancellableUntil": timestamp(until),
        "extension": {"seconds": settings.RESERVATION_SECONDS, "maxHoldSeconds": settings.HOLD_MAX_SECONDS},
        "paymentSeconds": settings.PAYMENT_SECONDS,
    }


# Of a refund `f` and its reservation `r`.
REFUND_COLUMNS = """f.id, f.reservation_id, r.reservation_number, r.user_id, r.payment_method, f.payment_id, f.amount,
    f.reason, f.items, f.due_at"""

_REFUNDS_DUE = f"""
SELECT {REFUND_COLUMNS}, f.done_at
FROM refunds f JOIN reservations r ON r.id = f.reservation_id
WHERE f.done_at IS NULL
    AND (%(after)s::uuid IS NULL OR (f.due_at, f.id) > (SELECT due_at, id FROM refunds WHERE id = %(after)s::uuid))
ORDER BY f.due_at, f.id LIMIT %(limit)s
"""


def refunds_due(*, after: UUID | None = None, limit: int) -> tuple[list[dict[str, Any]], bool]:
    """Up to `limit` refunds that are due, the oldest first, and whether there are more. With `after`, those after this one.

    Raises RefundNotFound if there never was one named `after`.
    """
    rows = fetch_all(_REFUNDS_DUE, {"after": after, "limit": limit + 1})
    if not rows and after is not None and not Refund.objects.filter(id=after).exists():
        raise RefundNotFound
    return rows[:limit], len(rows) > limit


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


# --- The waiting list -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitlistPosition:
    """A buyer's latest entry on the waiting list of an event.

    `state`: "none" if there never was one, "waiting", "left", "offered" while the offer can be taken, and afterwards the
    status of the reservation that it was. `position` is 0 unless the buyer waits, and `reservation_id` None before an offer.
    """

    state: str
    position: int = 0
    quantity: int = 0
    section: str | None = None
    ticket_type_id: UUID | None = None
    joined_at: datetime | None = None
    reservation_id: UUID | None = None
    number: str | None = None
    total_amount: int | None = None
    expires_at: datetime | None = None


_POSITION = """
SELECT w.quantity, w.section, w.ticket_type_id, w.created_at AS joined_at, r.id AS reservation_id,
       r.reservation_number AS number, r.total_amount, r.deadline AS expires_at,
       CASE WHEN r.id IS NULL THEN w.status WHEN r.status <> 'pending' THEN r.status
            WHEN r.deadline > now() THEN 'offered' ELSE 'expired' END AS state,
       CASE w.status WHEN 'waiting' THEN (
           SELECT count(*) FROM waitlist_entries o WHERE o.event_id = w.event_id AND o.status = 'waiting' AND o.id <= w.id
       ) ELSE 0 END AS position
FROM events e LEFT JOIN LATERAL (
    SELECT * FROM waitlist_entries w WHERE w.user_id = %(user_id)s AND w.event_id = e.id ORDER BY w.id DESC LIMIT 1
) w ON true LEFT JOIN reservations r ON r.id = w.reservation_id
WHERE e.id = %(event_id)s
"""


def waitlist_position(*, user_id: UUID, event_id: UUID) -> WaitlistPosition:
    """Where a buyer is on the waiting list of an event. Raises EventNotFound."""
    rows = fetch_all(_POSITION, {"user_id": user_id, "event_id": event_id})
    if not rows:
        raise EventNotFound
    return WaitlistPosition(**rows[0]) if rows[0]["state"] is not None else WaitlistPosition(state="none")


def waitlist_terms(event: Event) -> dict[str, Any]:
    """Whether there is a waiting list, for how long an offer can be taken, and how many wait."""
    terms: dict[str, Any] = {"isOpen": event.has_waitlist, "offerSeconds": settings.OFFER_SECONDS, "waiting": 0}
    if event.has_waitlist:
        terms["waiting"] = WaitlistEntry.objects.filter(event=event, status=WaitlistEntry.Status.WAITING).count()
    return terms


def entry_codes(*, user_id: UUID, reservation_id: UUID) -> list[dict[str, Any]]:
    """An entry code for each seat and ticket of a paid reservation. Raises ReservationNotFound, NotPaid."""
    found = _with_items(Reservation.objects.filter(id=reservation_id, user_id=user_id, event__isnull=False)).first()
    if found is None:
        raise ReservationNotFound
    if found.status != Reservation.Status.CONFIRMED:
        raise NotPaid
    return [
        _entry_code(found, item, number)
        for item in found.items.all()
        if item.is_live
        for number in range(1, item.quantity + 1)
    ]


def _entry_code(found: Reservation, item: ReservationItem, number: int) -> dict[str, Any]:
    name = _item(item)["ticketTypeName"]
    claims = {"sub": f"{item.id}.{number}", "event": str(found.event_id), "for": name}
    code = codes.sign(claims)
    return {
        "code": code,
        "qr": codes.qr_path(code),
        "seatId": item.seat_id,
        "seatLabel": item.seat.seat_label if item.seat else None,
        "ticketTypeId": item.ticket_type_id,
        "ticketTypeName": item.ticket_type.name if item.ticket_type else None,
    }


# --- The terms of a sale ----------------------------------------------------------------------------------------------


def sale_terms(event_id: UUID) -> dict[str, Any]:
    """What a client needs to know of an event's sale that recorded responses do not tell. Raises EventNotFound.

    A field for each feature; each is made by a function of the event.
    """
    event = Event.objects.filter(id=event_id).first()
    if event is None:
        raise EventNotFound
    return {
        "eventId": event.id,
        "limits": _limits(event),
        "payment": payment_terms(event),
        "seats": {"forbidsOrphanSeats": event.forbids_orphan_seats},
        "joinChallenge": join_challenge_parameters(),
        "waitlist": waitlist_terms(event),
    }


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
