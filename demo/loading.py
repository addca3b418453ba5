"""Loading the demo catalogue: what is missing is made, what is there stays as buyers have left it."""

import uuid
from collections.abc import Callable
from datetime import datetime

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from demo.catalogue import SHOWS, Show
from demo.keywords import KEYWORDS
from demo.layouts import LAYOUTS, Layout
from demo.past_sales import sell_what_is_taken
from events.models import Event, KeywordMapping, SeatLayout
from events.selectors import forget_event_and_lists
from events.services.layouts import sections_of
from kernel.db.sql import after_commit
from kernel.http.auth import UserNotFound
from queueing.services import Visitor
from reservations.services import confirm_reservation, reserve_seats
from seats.models import Seat
from seats.services import generate_seats
from tickets.models import TicketType

NAMESPACE = uuid.UUID("d3305eed-0000-4000-8000-000000000000")
SEATS_PER_BUYER = 4

Say = Callable[[str], object]


def load_demo(*, refresh: bool, say: Say) -> None:
    """Makes what is missing of the catalogue. A second time it changes nothing, with two exceptions: `refresh`, and no
    demo event being on sale any more, both move the dates (and states) of all demo events to where they stand today.
    """
    now = timezone.now()
    for layout in LAYOUTS:
        SeatLayout.objects.get_or_create(id=layout_id(layout), defaults=_layout_row(layout))
    KeywordMapping.objects.bulk_create(
        [KeywordMapping(korean=korean, english=english, entity_type=kind) for korean, english, kind in KEYWORDS],
        ignore_conflicts=True,
    )
    for place, show in enumerate(SHOWS, 1):
        say(f"[{place}/{len(SHOWS)}] {show.title}: {_load(show, now)}")
    if settings.DEBUG:
        _add_organiser()
    if refresh or not _something_is_on_sale(now):
        _move_dates(now)
        say("Moved the dates of all demo events to today.")


def event_id(show: Show) -> uuid.UUID:
    return uuid.uuid5(NAMESPACE, f"event:{show.slug}")


def layout_id(layout: Layout) -> uuid.UUID:
    return uuid.uuid5(NAMESPACE, f"layout:{layout.name}")


def _load(show: Show, now: datetime) -> str:
    """The event with its tickets and seats: all of it, or nothing. What was done, in words."""
    try:
        with transaction.atomic():
            event, is_new = Event.objects.get_or_create(id=event_id(show), defaults=_event_row(show, now))
            if not is_new:
                return "was there already"
            for ticket in TicketType.objects.bulk_create(_ticket_rows(show)):
                sell_what_is_taken(ticket.id, first=event.sale_start_date, last=min(now, event.sale_end_date))
            made = generate_seats(event_id=event.id) if show.layout else 0
            if show.layout and show.status == Event.Status.SOLD_OUT:
                _sell_all_seats(show)
            after_commit(forget_event_and_lists, event.id)
    except UserNotFound:
        return "left out, since its seats need buyers, and this database knows its users"
    return f"{show.status.value}, ticket types: {len(show.tickets)}, seats: {made}"


def _add_organiser() -> None:
    """User `demo` with password `demo`, a manager: for development only, since everybody knows the password."""
    user, is_new = User.objects.get_or_create(
        username="demo", defaults={"is_staff": True, "password": make_password("demo")}
    )
    if is_new:
        user.groups.add(Group.objects.get(name="Managers"))


def _sell_all_seats(show: Show) -> None:
    """Through the same door as any buyer, so that every sold seat belongs to a paid reservation."""
    ordered = Seat.objects.filter(event_id=event_id(show)).order_by("row_number", "seat_number")
    seat_ids = list(ordered.values_list("id", flat=True))
    for first in range(0, len(seat_ids), SEATS_PER_BUYER):
        name = f"{show.slug}:{first}"
        sale = reserve_seats(
            buyer=Visitor(uuid.uuid5(NAMESPACE, f"buyer:{name}")),
            event_id=event_id(show),
            seat_ids=seat_ids[first : first + SEATS_PER_BUYER],
        )
        confirm_reservation(
            reservation_id=sale.reservation_id,
            amount=sale.total_amount,
            payment_method="card",
            payment_id=f"demo:{name}",
        )


def _something_is_on_sale(now: datetime) -> bool:
    return Event.objects.filter(
        id__in=map(event_id, SHOWS),
        status=Event.Status.ON_SALE,
        sale_start_date__lte=now,
        sale_end_date__gt=now,
        event_date__gt=now,
    ).exists()


@transaction.atomic
def _move_dates(now: datetime) -> None:
    for show in SHOWS:
        dates = {**_dates(show, now), "status": show.status, "updated_at": Now()}
        Event.objects.filter(id=event_id(show)).update(**dates)
        after_commit(forget_event_and_lists, event_id(show))


# --- Rows -------------------------------------------------------------------------------------------------------------


def _layout_row(layout: Layout) -> dict[str, object]:
    config = {"sections": layout.sections}
    seats = sum(section.rows * section.seats_per_row for section in sections_of(config))
    return {
        "name": layout.name,
        "description": layout.description,
        "total_seats": seats,
        "layout_config": config,
    }


def _event_row(show: Show, now: datetime) -> dict[str, object]:
    return {
        "title": show.title,
        "artist_name": show.artist,
        "description": show.description,
        "venue": show.venue,
        "address": show.address,
        "status": show.status,
        "seat_layout_id": layout_id(show.layout) if show.layout else None,
        "max_seats_per_reservation": SEATS_PER_BUYER,
        "max_tickets_per_buyer": SEATS_PER_BUYER,
        "has_waitlist": show.status == Event.Status.SOLD_OUT,
        **_dates(show, now),
    }


def _dates(show: Show, now: datetime) -> dict[str, datetime]:
    first, last = show.sale
    return {"sale_start_date": first(now), "sale_end_date": last(now), "event_date": show.begins(now)}


def _ticket_rows(show: Show) -> list[TicketType]:
    return [
        TicketType(
            id=uuid.uuid5(NAMESPACE, f"ticket:{show.slug}:{ticket.name}"),
            event_id=event_id(show),
            name=ticket.name,
            price=ticket.price,
            total_quantity=ticket.total,
            available_quantity=ticket.available,
            description=ticket.description,
        )
        for ticket in show.tickets
    ]
