"""Reading events. Each cached answer: its key, its reader and what forgets it stand together."""

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import DatabaseError
from django.db.models import Count, Max, Min, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now

from events.errors import EventNotFound
from events.models import Event, SeatLayout
from events.search.finding import find, read_query
from events.search.index import index_out_of_date, is_up_to_date
from events.search.suggesting import suggest
from kernel.redis import caching
from kernel.redis.rate_limits import Charge, RateLimit
from kernel.redis.scripts import tagged_key
from kernel.wire import timestamp

logger = logging.getLogger(__name__)

LIST_SECONDS = 30
EVENT_SECONDS = 10
MAX_CACHED_SEARCH = 64  # longer texts are rare, and would let a client fill Redis

# Of an event `e`, at this moment. Only the dates decide, and whether it was cancelled: every other status is written down
# later. An event that is sold out is on sale, too: a hold past its deadline may be taken over at once.
IS_OVER = "(e.sale_end_date <= now() OR e.event_date <= now())"
IS_ON_SALE = f"(e.status <> 'cancelled' AND e.sale_start_date <= now() AND NOT {IS_OVER})"


def events_on_sale() -> QuerySet[Event]:
    """The events for which `IS_ON_SALE` is true."""
    by_dates = Event.objects.filter(sale_start_date__lte=Now(), sale_end_date__gt=Now(), event_date__gt=Now())
    return by_dates.exclude(status=Event.Status.CANCELLED)


# --- The list ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Which page of the list is asked for. `status` and `search` may be empty; `page` and `limit` start at 1."""

    status: str
    search: str
    page: int
    limit: int

    @property
    def cache_key(self) -> str:
        return f"events:list:{self.status}:{self.page}:{self.limit}:{self.search}"


NOTHING = b'{"events":[],"pagination":{"page":1,'  # how a first page begins on which there is nothing
EVERY_LIST = "events:list"  # the set of the keys of all cached pages


# Searches that no process of `web` has in its memory.
SEARCH = RateLimit("search", "RATE_LIMIT_SEARCH")
SEARCH_BY_ADDRESS = RateLimit("search-per-address", "RATE_LIMIT_SEARCH_PER_ADDRESS")


def event_list(wanted: EventPage, charge: Charge | None = None) -> bytes:
    """One page of the list of events, as JSON. Raises RateLimited, if a `charge` is given."""
    if len(wanted.search) > MAX_CACHED_SEARCH:
        if charge:
            charge.limit.spend(charge.subject)
        return _event_list(wanted)
    return caching.read_through(
        wanted.cache_key, lambda: _event_list(wanted), seconds=LIST_SECONDS, index=EVERY_LIST, charge=charge
    )


def forget_event_lists() -> None:
    caching.forget_all(EVERY_LIST)


def _event_list(wanted: EventPage) -> bytes:
    if wanted.search:
        return _search_list(wanted)
    matching = Event.objects.all()
    if wanted.status:
        matching = matching.filter(status=wanted.status)
    first = (wanted.page - 1) * wanted.limit
    total = matching.count()
    rows = (
        _with_price_range(matching.order_by("sale_start_date", "id")[first : first + wanted.limit])
        if first < total
        else []
    )
    return caching.encode_json({"events": [_list_entry(row) for row in rows], "pagination": _pagination(wanted, total)})


def _pagination(wanted: EventPage, total: int) -> dict[str, int]:
    return {"page": wanted.page, "limit": wanted.limit, "total": total, "totalPages": -(-total // wanted.limit)}


LIST_FIELDS = (
    "id", "title", "description", "venue", "address", "event_date", "sale_start_date", "sale_end_date",
    "poster_image_url", "status", "artist_name",
)  # fmt: skip


def _with_price_range(events: QuerySet[Event]) -> Iterable[Any]:
    def over_ticket_types(aggregate: Any) -> Subquery:
        grouped = Event.objects.filter(id=OuterRef("id")).order_by().values("id").annotate(found=aggregate)
        return Subquery(grouped.values("found"))

    priced: Iterable[Any] = events.values(
        *LIST_FIELDS,
        ticket_type_count=Coalesce(over_ticket_types(Count("ticket_types")), 0),
        min_price=over_ticket_types(Min("ticket_types__price")),
        max_price=over_ticket_types(Max("ticket_types__price")),
    )
    return priced


def _list_entry(row: dict[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "event_date": timestamp(row["event_date"]),
        "sale_start_date": timestamp(row["sale_start_date"]),
        "sale_end_date": timestamp(row["sale_end_date"]),
        "ticket_type_count": str(row["ticket_type_count"]),  # a string since the old service's days
    }


# --- The search -------------------------------------------------------------------------------------------------------

MAX_INDEXED = 500  # events that a search indexes before it searches, if somebody else has changed them

_indexing = threading.Lock()


def _search_list(wanted: EventPage) -> bytes:
    """One page of what a search finds, best first. `exact` says how many really fit, if others only resemble it."""
    index_what_others_changed()
    first = (wanted.page - 1) * wanted.limit
    found = find(read_query(wanted.search), status=wanted.status, first=first, limit=wanted.limit)
    entries = {row["id"]: _list_entry(row) for row in _with_price_range(Event.objects.filter(id__in=found.ids))}
    pagination = _pagination(wanted, found.total)
    if found.exact < found.total:
        pagination["exact"] = found.exact
    return caching.encode_json({"events": [entries[i] for i in found.ids if i in entries], "pagination": pagination})


def index_what_others_changed() -> None:
    """Indexes the events that somebody has written who does not know the index, so that a search finds them at once.

    Does nothing where PostgreSQL only reads: the search then finds what is indexed.
    """
    if is_up_to_date():
        return
    with _indexing:  # or all searches of this moment would do the same
        try:
            index_out_of_date(limit=MAX_INDEXED)
        except DatabaseError as error:
            logger.warning("a search could not index what has changed: %s", error)


def suggestions_key(search: str) -> str:
    return f"events:suggest:{search}"


def suggestions(search: str, charge: Charge | None = None) -> bytes:
    """At most eight texts that fit what somebody types, as JSON. Raises RateLimited, if a `charge` is given."""
    if len(search) > MAX_CACHED_SEARCH:
        if charge:
            charge.limit.spend(charge.subject)
        return _suggestions(search)
    return caching.read_through(
        suggestions_key(search), lambda: _suggestions(search), seconds=LIST_SECONDS, index=EVERY_LIST, charge=charge
    )


def _suggestions(search: str) -> bytes:
    if not search:
        return caching.encode_json({"suggestions": []})
    index_what_others_changed()
    return caching.encode_json({"suggestions": [each.as_json() for each in suggest(search)]})


# --- One event --------------------------------------------------------------------------------------------------------


def event_cache_key(event_id: UUID) -> str:
    return tagged_key("event:{}", event_id)


def event_detail(event_id: UUID) -> bytes:
    """The event and its ticket types, as JSON. Raises EventNotFound."""
    return caching.read_through(event_cache_key(event_id), lambda: _event_detail(event_id), seconds=EVENT_SECONDS)


def forget_event(event_id: UUID) -> None:
    caching.forget(event_cache_key(event_id))


def forget_event_and_lists(event_id: UUID) -> None:
    """After anything of an event has changed that its page or the list shows."""
    forget_event(event_id)
    forget_event_lists()


EVENT_FIELDS = (
    "id", "title", "description", "venue", "address", "event_date", "sale_start_date", "sale_end_date",
    "poster_image_url", "status", "seat_layout_id", "artist_name", "created_at", "updated_at",
)  # fmt: skip


def _event_detail(event_id: UUID) -> bytes:
    event = Event.objects.filter(id=event_id).values(*EVENT_FIELDS).first()
    if event is None:
        raise EventNotFound
    for name in ("event_date", "sale_start_date", "sale_end_date", "created_at", "updated_at"):
        event[name] = timestamp(event[name])
    return caching.encode_json({"event": event, "ticketTypes": ticket_types_of(event_id)})


def ticket_types_of(event_id: UUID) -> list[Any]:
    """What can be bought for an event, {id, name, price, total_quantity, available_quantity, description}, dearest first.

    Empty for an event that does not exist.
    """
    types = Event(id=event_id).ticket_types.order_by("-price", "name", "id")
    return list(types.values("id", "name", "price", "total_quantity", "available_quantity", "description"))


# --- Layouts ----------------------------------------------------------------------------------------------------------


def layouts() -> list[Any]:
    """All seat layouts, {id, name, description, total_seats, layout_config}, smallest first."""
    by_size = SeatLayout.objects.order_by("total_seats", "name", "id")
    return list(by_size.values("id", "name", "description", "total_seats", "layout_config"))
