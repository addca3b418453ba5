"""Reading the seat map."""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings

from events.models import Event
from events.selectors import IS_ON_SALE
from kernel.db.sql import fetch_all
from kernel.redis import caching
from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import execute
from kernel.wire import GzippedJSON, gzip_json
from seats.errors import NoSeatSelection, SeatMapEventNotFound
from seats.locks import count_versions, seat_map_key, seat_map_version_key
from seats.models import Seat

SEAT_MAP_SECONDS = 5


# --- The seat map -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SeatMap:
    """The map as JSON. A map with a higher version is newer; equal tags mean equal bytes."""

    version: int
    tag: str
    body: GzippedJSON
    cached: bytes  # as it stands in Redis


def seat_map(event_id: UUID) -> SeatMap:
    """Raises SeatMapEventNotFound or NoSeatSelection."""
    answer = caching.read_through(seat_map_key(event_id), lambda: _seat_map(event_id), seconds=SEAT_MAP_SECONDS)
    head, _, body = answer.partition(b"\n")
    version, tag = head.decode().split()
    return SeatMap(int(version), tag, GzippedJSON(body), answer)


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
    body = caching.encode_json({"event": shown, "layout": layout, "seats": _with_wire_status(rows.values(*fields))})
    return f"{version} {hashlib.md5(body, usedforsecurity=False).hexdigest()}\n".encode() + gzip_json(body)


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
        counted = execute(lambda redis: redis.get(seat_map_version_key(event_id)))
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

MAX_EVENTS = 200
_PLACES_ON_SALE = f"""
    WITH open AS MATERIALIZED (
        SELECT e.id FROM events e WHERE {IS_ON_SALE} ORDER BY e.sale_start_date DESC, e.id LIMIT {MAX_EVENTS}
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
    """Of the events on sale, at most MAX_EVENTS of them: event_id, `seats` by status, `tickets` {id, available, total}."""
    return fetch_all(_PLACES_ON_SALE, {})
