"""Reading the seat map and reservations."""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Prefetch
from django.db.models.functions import Now

from events.models import Event
from events.selectors import IS_ON_SALE
from kernel.db.sql import fetch_all
from kernel.redis import caching
from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import attempt
from kernel.wire import Packed, packed, timestamp
from seats.errors import NoSeatSelection, ReservationNotFound, SeatMapEventNotFound, SeatReservationNotFound
from seats.locks import count_versions, seat_map_key, seat_map_version_key
from seats.models import Reservation, ReservationItem, Seat

SEAT_MAP_SECONDS = 5


# --- The seat map -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SeatMap:
    """The map as JSON. A map with a higher version is newer; equal tags mean equal bytes."""

    version: int
    tag: str
    body: Packed
    cached: bytes  # as it stands in Redis


def seat_map(event_id: UUID) -> SeatMap:
    """Raises SeatMapEventNotFound or NoSeatSelection."""
    answer = caching.read_through(seat_map_key(event_id), lambda: _seat_map(event_id), seconds=SEAT_MAP_SECONDS)
    head, _, body = answer.partition(b"\n")
    version, tag = head.decode().split()
    return SeatMap(int(version), tag, Packed(body), answer)


def _seat_map(event_id: UUID) -> bytes:
    version = seat_map_version(event_id)  # before the rows: what changes while they are read has a higher one
    event = Event.objects.filter(id=event_id).values("id", "title", "seat_layout__layout_config").first()
    if event is None:
        raise SeatMapEventNotFound
    if (layout := event["seat_layout__layout_config"]) is None:
        raise NoSeatSelection
    rows = Seat.objects.filter(event_id=event_id).order_by("section", "row_number", "seat_number")
    fields = ("id", "section", "row_number", "seat_number", "seat_label", "price", "status")
    shown = {"id": event["id"], "title": event["title"]}
    body = caching.encoded({"event": shown, "layout": layout, "seats": _with_wire_status(rows.values(*fields))})
    return f"{version} {hashlib.md5(body, usedforsecurity=False).hexdigest()}\n".encode() + packed(body)


def _with_wire_status(seats: Iterable[Any]) -> list[dict[str, Any]]:
    rows = list(seats)
    if settings.SOLD_SEAT_WIRE_VALUE != Seat.Status.SOLD:
        for row in rows:
            if row["status"] == Seat.Status.SOLD:
                row["status"] = settings.SOLD_SEAT_WIRE_VALUE
    return rows


def seat_map_version(event_id: UUID) -> int:
    """The version that `seats/lua/let_go.lua` counts. Without Redis it is the time in ms: more than was ever counted.

    One round trip, if the version was asked for before. Raises SeatMapEventNotFound.
    """
    try:
        counted = attempt(lambda redis: redis.get(seat_map_version_key(event_id)))
        if counted is not None:
            return int(counted)
        if Event.objects.filter(id=event_id).exists():
            return count_versions(event_id)
    except RedisUnavailable:
        if Event.objects.filter(id=event_id).exists():
            return int(time.time() * 1000)
    raise SeatMapEventNotFound


def seat_map_version_after_restart(event_id: UUID) -> int:
    """The same when Redis was restarted: more than before, whatever Redis remembers. Raises RedisUnavailable."""
    return count_versions(event_id, redis_was_restarted=True)


# --- What is left -----------------------------------------------------------------------------------------------------

MOST_EVENTS = 200
_PLACES_ON_SALE = f"""
    WITH open AS MATERIALIZED (
        SELECT e.id FROM events e WHERE {IS_ON_SALE} ORDER BY e.sale_start_date DESC, e.id LIMIT {MOST_EVENTS}
    )
    SELECT open.id AS event_id, seats.by_status AS seats, tickets.of_event AS tickets FROM open
    LEFT JOIN (
        SELECT event_id, jsonb_object_agg(status, places) AS by_status FROM (
            SELECT s.event_id, s.status, count(*) AS places FROM seats s JOIN open ON open.id = s.event_id GROUP BY 1, 2
        ) counted GROUP BY 1
    ) seats ON seats.event_id = open.id
    LEFT JOIN (
        SELECT t.event_id, jsonb_agg(
            jsonb_build_object('id', t.id, 'available', t.available_quantity, 'total', t.total_quantity)
        ) AS of_event FROM ticket_types t JOIN open ON open.id = t.event_id GROUP BY 1
    ) tickets ON tickets.event_id = open.id
"""


def places_on_sale() -> list[dict[str, Any]]:
    """Of the events on sale, at most MOST_EVENTS of them: event_id, `seats` by status, `tickets` {id, available, total}."""
    return fetch_all(_PLACES_ON_SALE, {})


# --- Reservations -----------------------------------------------------------------------------------------------------


def my_reservations(user_id: UUID) -> list[dict[str, Any]]:
    """A buyer's reservations, newest first."""
    mine = _with_items(Reservation.objects.filter(user_id=user_id).order_by("-created_at", "-id"))
    return [
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
        for found in mine
    ]


def reservation(*, user_id: UUID, reservation_id: UUID) -> dict[str, Any]:
    """One of a buyer's reservations. Raises ReservationNotFound, also for somebody else's."""
    found = _with_items(Reservation.objects.filter(id=reservation_id, user_id=user_id)).first()
    if found is None:
        raise ReservationNotFound
    items = [{**_item(item), **_seat_of(item)} for item in found.items.all()]
    return {**_head(found), "address": found.event.address if found.event else None, "items": items}


def seat_reservation(*, user_id: UUID, reservation_id: UUID) -> dict[str, Any]:
    """A buyer's seats and until when they are held. Raises SeatReservationNotFound, also when the event is gone."""
    mine = Reservation.objects.filter(id=reservation_id, user_id=user_id, event__isnull=False)
    found = _with_items(mine).annotate(read_at=Now()).first()
    if found is None:
        raise SeatReservationNotFound
    seats = [
        {
            "seatId": item.seat.id,
            "seatLabel": item.seat.seat_label,
            "section": item.seat.section,
            "rowNumber": item.seat.row_number,
            "seatNumber": item.seat.seat_number,
            "price": item.unit_price,
        }
        for item in found.items.all()
        if item.seat
    ]
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


def _seat_of(item: ReservationItem) -> dict[str, Any]:
    return {
        "seatLabel": item.seat.seat_label if item.seat else None,
        "section": item.seat.section if item.seat else None,
    }
