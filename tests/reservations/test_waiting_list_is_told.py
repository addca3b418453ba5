"""An offer is told to its buyer on the queue's socket, to viewers of the seat map, to other services and in the admin."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.admin_pages import AdminPages
from tests.support.harness import HALL, Api, Database, new_user, seat, token
from tests.support.live import running_realtime
from tests.support.round_trips import Counted
from tests.support.scraping import scrape
from tests.support.subscribers import Told, forget_everything, read_feed, subscribed
from tests.support.waitlist import add_seat, offered_seats, place, sold_out, waiting

TOLD = ("reservationId", "userId", "eventId", "status", "totalAmount")


@pytest.fixture
def told(world: Database, web: Api) -> Iterator[Told]:
    with subscribed(world):
        yield lambda: [(message["type"], message["data"]) for message in read_feed(web)]


def test_other_services_learn_of_the_reservation_and_of_the_offer(world: Database, web: Api, told: Told) -> None:
    sale = sold_out(world, web, seats=2)
    (user,) = waiting(web, sale.event)
    web.cancel(sale.holders[0], sale.holds[0])
    offer = place(web, user, sale.event)["offer"]
    messages = told()[2:]  # after those of the two holds
    assert [kind for kind, _ in messages] == ["reservation.cancelled", "reservation.created", "waitlist.offered"]
    for _, data in messages[1:]:
        assert {name: data[name] for name in TOLD} == {
            "reservationId": offer["reservationId"],
            "userId": user,
            "eventId": sale.event,
            "status": "pending",
            "totalAmount": 1000,
        }
        assert data["items"] == [{"seatId": sale.seats[0], "ticketTypeId": None, "quantity": 1, "unitPrice": 1000}]
        assert data["deadline"][:19] == offer["expiresAt"][:19]
    assert messages[1][1].keys() == told()[0][1].keys()  # as any buyer's reservation is told
    # What ended still tells its own items.
    assert messages[0][1]["items"] == [
        {"seatId": sale.seats[0], "ticketTypeId": None, "quantity": 1, "unitPrice": 1000}
    ]


def test_tickets_and_what_another_buyer_has_asked_for_are_told_alike(world: Database, web: Api, told: Told) -> None:
    sale = sold_out(world, web, seats=1)
    first, second = waiting(web, sale.event, 2, ticketTypeId=sale.tickets)
    world.rows("UPDATE ticket_types SET total_quantity = 2, available_quantity = 2 WHERE id = %s", sale.tickets)
    assert web.buy(new_user(), sale.event, **{sale.tickets: 1}).status == 400
    offers = [data for kind, data in told() if kind == "waitlist.offered"]
    assert [data["userId"] for data in offers] == [first, second]
    assert offers[0]["items"] == [{"seatId": None, "ticketTypeId": sale.tickets, "quantity": 1, "unitPrice": 1000}]


def test_nothing_is_recorded_while_nobody_subscribes(world: Database, web: Api) -> None:
    forget_everything(world)
    sale = sold_out(world, web, seats=1)
    waiting(web, sale.event)
    web.cancel(sale.holders[0], sale.holds[0])
    assert world.one("SELECT count(*) FROM outbox_messages") == 0


@pytest.mark.slow
def test_the_buyer_is_told_on_the_queues_socket_and_the_map_never_shows_the_seat_as_free(
    world: Database, web: Api, database_url: str, logs: Path
) -> None:
    sale = sold_out(world, web, seats=2)
    user, other = waiting(web, sale.event, 2)
    with running_realtime(logs / "waitlist-live.log", DATABASE_URL=database_url) as realtime:
        mine, theirs = (
            realtime.open(f"/ws/queue/{sale.event}", subprotocols=["bearer", token(one)]) for one in (user, other)
        )
        seats = realtime.seats(sale.event)
        for socket in (mine, theirs):
            socket.first("queue-position")
        web.cancel(sale.holders[1], sale.holds[1])
        offer = place(web, user, sale.event)["offer"]
        told = mine.first("waitlist-offered")
        assert told.pop("message")
        assert told == {"type": "waitlist-offered", "eventId": sale.event, "userId": user, **offer}
        changed = seats.first("seat-locked")
        assert (changed["seatId"], changed["status"]) == (sale.seats[1], "locked")
        assert seats.of_type("seat-released") == []
        assert theirs.of_type("waitlist-offered") == []


def test_reserving_takes_one_round_trip_where_nobody_waits(counted_web: Counted, world: Database) -> None:
    world.rows("UPDATE events SET has_waitlist = true WHERE id = %s", HALL)
    for n in range(6):
        mine = new_user()
        held = counted_web.api.reserve(mine, HALL, seat(1, 11 + n)).json["reservation"]["id"]
        counted_web.api.cancel(mine, held)
    user = new_user()
    assert counted_web.during(lambda: counted_web.api.reserve(user, HALL, seat(1, 1)))[0] == 1
    reservation = world.one("SELECT id::text FROM reservations WHERE user_id = %s", user)
    assert counted_web.during(lambda: counted_web.api.cancel(user, reservation))[0] == 1


def test_the_admin_lists_who_waits(world: Database, web: Api, admin_pages: AdminPages) -> None:
    from django.test import Client

    sale = sold_out(world, web, seats=2)
    first, second = waiting(web, sale.event, 2, section="R")
    web.cancel(sale.holders[0], sale.holds[0])
    client: Client = admin_pages.client
    url = "/admin/reservations/waitlistentry/"
    page = client.get(f"{url}?event__id__exact={sale.event}").content.decode()
    assert page.index(first) < page.index(second)
    number = world.one("SELECT reservation_number FROM reservations WHERE user_id = %s", first)
    for text in ("R x 1", "대기 중", "제안됨", number):
        assert text in page
    found = client.get(f"{url}?q={second}").content.decode()
    assert second in found
    assert first not in found
    assert client.get(f"{url}?q=nonsense").status_code == 200
    entry = world.one("SELECT id FROM waitlist_entries WHERE user_id = %s", first)
    assert number in client.get(f"{url}{entry}/change/").content.decode()
    event = client.get(f"/admin/events/event/{sale.event}/change/").content.decode()
    assert 'name="has_waitlist"' in event


def test_an_organiser_switches_the_list_on(world: Database, web: Api, admin_pages: AdminPages) -> None:
    event = world.add_event()
    assert world.one("SELECT has_waitlist FROM events WHERE id = %s", event) is False
    from tests.support.admin_pages import open_form

    url = f"/admin/events/event/{event}/change/"
    form = open_form(admin_pages.client, url)
    answer = admin_pages.client.post(url, {**form, "has_waitlist": "on", "reason": "sold out"})
    assert answer.status_code == 302
    assert world.one("SELECT has_waitlist FROM events WHERE id = %s", event) is True


def test_offers_are_counted(world: Database, web: Api) -> None:
    sale = sold_out(world, web, seats=2)
    waiting(web, sale.event)
    web.cancel(sale.holders[0], sale.holds[0])
    assert scrape(web).total("waitlist_offers_total", event_id=sale.event) == 1


def test_offers_before_and_after_a_hold_in_the_way_is_ended_are_told(world: Database, web: Api) -> None:
    """Of what an outsider asks for, one seat is free and offered at once; the other is held past its deadline."""
    sale = sold_out(world, web, seats=1)
    users = waiting(web, sale.event, 2)
    added = add_seat(world, sale.event)
    world.expire(sale.holds[0])
    assert web.reserve(new_user(), sale.event, added, sale.seats[0]).status == 400
    assert [place(web, user, sale.event)["state"] for user in users] == ["offered", "offered"]
    assert scrape(web).total("waitlist_offers_total", event_id=sale.event) == 2


def test_offers_name_seats_once(world: Database, web: Api) -> None:
    """Twice the same seat in the map's messages would be two versions."""
    sale = sold_out(world, web, seats=4)
    (pair,) = waiting(web, sale.event, quantity=2)
    from reservations import services

    for n in (1, 2):
        world.expire(sale.holds[n])
    services.sweep()
    assert offered_seats(world, pair, sale.event) == sale.seats[1:3]
    assert services.offer_free_places(event_id=UUID(sale.event)) == 0
