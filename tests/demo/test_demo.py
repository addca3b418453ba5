"""`manage.py load_demo`: something to try the service with, that can be loaded at any time without harm."""

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Count, F
from django.test import Client
from django.utils import timezone

from events.models import Event, KeywordMapping, SeatLayout
from events.services.layouts import sections_of
from queueing.services import Visitor
from reservations.models import Reservation, ReservationItem
from reservations.services import confirm_reservation, release_cancelled_events, reserve_seats, reserve_tickets
from seats.models import Seat
from tests.support.harness import new_user
from tickets.models import TicketType

pytestmark = pytest.mark.slow

TABLES = (Event, SeatLayout, KeywordMapping, TicketType, Seat, Reservation, ReservationItem)


@pytest.fixture(autouse=True)
def debug(settings: Any) -> None:
    settings.DEBUG = True  # pytest-django turns it off


@pytest.fixture(autouse=True)
def nothing_there(debug: None, django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Other tests leave their catalogue behind. What migrations have made stays, the group of managers among it."""
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {', '.join(table._meta.db_table for table in (*TABLES, User))} CASCADE")
        yield


def load(*arguments: str) -> str:
    printed = StringIO()
    call_command("load_demo", *arguments, stdout=printed)
    return printed.getvalue()


def everything() -> dict[str, Any]:
    return {table.__name__: list(table.objects.order_by("id").values()) for table in TABLES}


def on_sale_now() -> list[Event]:
    now = timezone.now()
    return list(
        Event.objects.filter(status="on_sale", sale_start_date__lte=now, sale_end_date__gt=now, event_date__gt=now)
    )


def test_there_is_something_of_everything() -> None:
    printed = load()

    assert set(Event.objects.values_list("status", flat=True)) == set(Event.Status.values)
    assert len(on_sale_now()) >= 3
    now = timezone.now()
    upcoming = Event.objects.filter(status="upcoming").order_by("sale_start_date")
    opens = [event.sale_start_date - now for event in upcoming]
    assert timedelta(minutes=1) < opens[0] <= timedelta(minutes=2)
    assert timedelta(0) < opens[1] < timedelta(days=2)
    assert not Event.objects.filter(status="ended", event_date__gt=now).exists()
    assert not Event.objects.filter(sale_end_date__gt=F("event_date")).exists()
    assert Event.objects.filter(seat_layout=None).exists()
    assert KeywordMapping.objects.count() >= 20
    for title in Event.objects.values_list("title", flat=True):
        assert title in printed


def test_an_event_sells_seats_or_tickets() -> None:
    """Its prices in the list are those of what it sells: the list knows ticket types, and the seat map sells seats only."""
    load()

    for event in Event.objects.all():
        assert event.seats.exists() != event.ticket_types.exists(), event.title


def test_a_buyer_may_have_four_of_an_event_all_at_once() -> None:
    load()

    limits = Event.objects.values_list("max_tickets_per_buyer", "max_seats_per_reservation")
    assert set(limits) == {(4, 4)}


def test_those_that_are_sold_out_have_a_waiting_list() -> None:
    load()

    assert set(Event.objects.filter(has_waitlist=True).values_list("status", flat=True)) == {"sold_out"}


def test_every_event_with_a_layout_has_its_seats() -> None:
    load()

    assert sorted(SeatLayout.objects.values_list("total_seats", flat=True)) == [120, 1200, 5000]
    for layout in SeatLayout.objects.all():
        sections = sections_of(layout.layout_config)
        assert sum(section.rows * section.seats_per_row for section in sections) == layout.total_seats
    seated = Event.objects.exclude(seat_layout=None).annotate(made=Count("seats"))
    assert seated.count() >= 6
    assert [event.title for event in seated if event.made != event.seat_layout.total_seats] == []


def test_what_is_sold_out_has_nothing_left_and_every_sold_seat_an_owner() -> None:
    load()

    sold_out = Event.objects.filter(status="sold_out")
    assert not TicketType.objects.filter(event__in=sold_out, available_quantity__gt=0).exists()
    seats = Seat.objects.filter(event__in=sold_out)
    assert seats.exists()
    assert not seats.exclude(status="sold").exists()
    paid = ReservationItem.objects.filter(is_live=True, reservation__status="confirmed")
    assert paid.filter(seat__in=seats).count() == seats.count()


def test_an_organiser_can_sign_in_and_act(client: Client) -> None:
    load()

    assert client.login(username="demo", password="demo")
    demo = User.objects.get(username="demo")
    assert demo.has_perm("events.add_event")
    assert not demo.is_superuser
    assert client.get("/admin/events/event/add/").status_code == 200
    assert client.get("/admin/auth/user/").status_code == 403


@pytest.mark.long
def test_an_organiser_s_own_password_and_rights_stay() -> None:
    load()
    demo = User.objects.get(username="demo")
    demo.set_password("another")
    demo.save()
    demo.groups.clear()

    load()

    demo.refresh_from_db()
    assert demo.check_password("another")
    assert not demo.groups.exists()


def test_without_debug_nobody_gets_an_account_with_a_known_password(settings: Any) -> None:
    settings.DEBUG = False

    load("--force")

    assert Event.objects.exists()
    assert not User.objects.filter(username="demo").exists()


def test_the_audit_finds_nothing_in_it(redis: Any) -> None:
    load()

    call_command("audit")  # raises CommandError for violations
    release_cancelled_events()
    call_command("audit")


def test_where_users_are_known_only_what_needs_buyers_is_left_out(redis: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE SCHEMA auth_schema; CREATE TABLE auth_schema.users (id uuid PRIMARY KEY); ALTER TABLE reservations "
            "ADD CONSTRAINT reservation_user FOREIGN KEY (user_id) REFERENCES auth_schema.users (id)"
        )
    try:
        printed = load()
        assert not TicketType.objects.exclude(available_quantity=F("total_quantity")).exists()
        call_command("audit")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE reservations DROP CONSTRAINT reservation_user; DROP SCHEMA auth_schema CASCADE")
    assert printed.count("left out") == 1


def test_twice_is_the_same_as_once() -> None:
    load()
    before = everything()

    printed = load()

    assert everything() == before
    assert "Moved" not in printed


@pytest.mark.long
def test_what_buyers_did_survives_a_second_load_and_a_refresh() -> None:
    load()
    seat = Seat.objects.filter(event__in=on_sale_now(), status="available").first()
    stock = TicketType.objects.filter(event__in=on_sale_now(), available_quantity__gte=3).first()
    assert seat is not None
    assert stock is not None
    sale = reserve_seats(buyer=Visitor(UUID(new_user())), event_id=seat.event_id, seat_ids=[seat.id])
    confirm_reservation(
        reservation_id=sale.reservation_id, amount=sale.total_amount, payment_method="card", payment_id="a payment"
    )
    reserve_tickets(buyer=Visitor(UUID(new_user())), event_id=stock.event_id, quantities={stock.id: 3})
    before = everything()

    load()
    assert everything() == before
    load("--refresh")

    after = everything()
    assert {name: rows for name, rows in after.items() if name != "Event"} == {
        name: rows for name, rows in before.items() if name != "Event"
    }
    assert Seat.objects.get(id=seat.id).status == "sold"


def in_the_past(days: int) -> None:
    """As if the catalogue had been loaded so many days ago, and the status updater had run since."""
    age = timedelta(days=days)
    Event.objects.update(
        sale_start_date=F("sale_start_date") - age,
        sale_end_date=F("sale_end_date") - age,
        event_date=F("event_date") - age,
    )
    Event.objects.filter(event_date__lt=timezone.now()).exclude(status="cancelled").update(status="ended")


def test_a_load_after_everything_is_over_puts_something_on_sale_again() -> None:
    load()
    in_the_past(200)
    assert on_sale_now() == []

    printed = load()

    assert "Moved the dates" in printed
    assert len(on_sale_now()) >= 3


@pytest.mark.long
def test_a_month_later_the_dates_stay_as_long_as_something_is_on_sale_and_refresh_moves_them() -> None:
    load()
    in_the_past(30)
    before = everything()

    load()
    assert everything() == before
    load("--refresh")

    opens = Event.objects.filter(status="upcoming").order_by("sale_start_date")[0].sale_start_date
    assert timedelta(minutes=1) < opens - timezone.now() <= timedelta(minutes=2)


def test_refuses_where_debug_is_off_unless_forced(settings: Any) -> None:
    settings.DEBUG = False

    with pytest.raises(CommandError, match="--force"):
        load()
    assert not Event.objects.exists()
    load("--force")
    assert on_sale_now()
