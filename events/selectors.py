"""Reading events. Each cached answer: its key, its reader and what forgets it stand together."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db.models import BooleanField, Count, F, Func, Max, Min, OuterRef, Q, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Coalesce, Now

from events.errors import EventNotFound
from events.models import Event, KeywordMapping, SeatLayout
from kernel.redis import caching
from kernel.redis.rate_limits import Charge, RateLimit
from kernel.redis.scripts import tagged_key
from kernel.wire import timestamp

LIST_SECONDS = 30
EVENT_SECONDS = 10
MAX_CACHED_SEARCH = 64  # longer texts are rare, and would let a client fill Redis
GRAMS_OF_SEARCH = 64  # characters of the search text that the index is asked for

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
    matching = Event.objects.all()
    if wanted.status:
        matching = matching.filter(status=wanted.status)
    if wanted.search:
        matching = matching.filter(_contains_any(_spellings(wanted.search)))
    first = (wanted.page - 1) * wanted.limit
    total = matching.count()
    rows = (
        _with_price_range(matching.order_by("sale_start_date", "id")[first : first + wanted.limit])
        if first < total
        else []
    )
    pages = -(-total // wanted.limit)
    pagination = {"page": wanted.page, "limit": wanted.limit, "total": total, "totalPages": pages}
    return caching.encode_json({"events": [_list_entry(row) for row in rows], "pagination": pagination})


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


def _spellings(search: str) -> set[str]:
    """The text itself, and the other spelling of every name that contains it, in lower case."""
    mapped = KeywordMapping.objects.filter(Q(korean__icontains=search) | Q(english__icontains=search))
    found = {search.lower()}
    for korean, english in mapped.values_list("korean", "english"):
        if search.lower() in korean.lower():
            found.add(english.lower())
        if search.lower() in english.lower():
            found.add(korean.lower())
    return found


def _contains_any(texts: Iterable[str]) -> Q:
    """Events whose `search_text` contains one of the texts, literally. The pairs of characters are for the index."""
    condition = Q()
    for text in sorted(texts):
        literally = Q(search_text__contains=text)
        if len(text) > 1:
            grams = Func(Value(text[:GRAMS_OF_SEARCH], TextField()), function="bigrams", output_field=_GRAMS)
            literally &= Q(_ContainsGrams(Func(F("search_text"), function="bigrams", output_field=_GRAMS), grams))
        condition |= literally
    return condition


_GRAMS: "ArrayField[Any, Any]" = ArrayField(TextField())


class _ContainsGrams(Func):
    arg_joiner = " @> "
    template = "(%(expressions)s)"
    conditional = True

    output_field = BooleanField()


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
