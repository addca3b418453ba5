"""Waiting for places of an event that is sold out: joining, leaving, and what is offered to whom."""

from datetime import UTC, datetime

import pytest

from tests.support.harness import Api, Database, assert_books_agree, new_user
from tests.support.waitlist import (
    add_seat,
    hold,
    join,
    leave,
    offered_seats,
    pay,
    place,
    sold_out,
    state,
    waiting,
)

# --- Joining and leaving ----------------------------------------------------------------------------------------------


def test_those_who_wait_have_positions(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web)
    assert state(web, new_user(), sale.event) == "none"
    first, second, third = waiting(web, sale.event, 3)
    assert [place(web, user, sale.event)["position"] for user in (first, second, third)] == [1, 2, 3]
    assert leave(web, second, sale.event).json == {"message": "대기가 취소되었습니다."}
    assert [place(web, user, sale.event)["position"] for user in (first, second, third)] == [1, 0, 2]
    assert state(web, second, sale.event) == "left"
    assert leave(web, second, sale.event).json["code"] == "NOT_WAITING"
    again = join(web, second, sale.event)
    assert (again.status, again.json["waitlist"]["position"]) == (201, 3)


def test_joining_again_changes_nothing(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web)
    user, _ = waiting(web, sale.event, 2)
    joined = place(web, user, sale.event)
    assert join(web, user, sale.event).json["waitlist"] == joined
    other = join(web, user, sale.event, 2)
    assert (other.status, other.json["code"]) == (409, "WAITING_ALREADY")
    assert place(web, user, sale.event) == joined


def test_it_is_off_unless_the_event_says_so(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web)
    terms = web.get(f"/events/{sale.event}/sale").json["waitlist"]
    assert terms == {"isOpen": True, "offerSeconds": 600, "waiting": 0}
    waiting(web, sale.event, 2)
    assert web.get(f"/events/{sale.event}/sale").json["waitlist"]["waiting"] == 2
    other = catalogue.add_event()
    hold(web.reserve(new_user(), other, *seats_of(catalogue, other)))
    assert web.get(f"/events/{other}/sale").json["waitlist"]["isOpen"] is False
    refused = join(web, new_user(), other)
    assert (refused.status, refused.json["code"]) == (400, "WAITLIST_OFF")


def seats_of(catalogue: Database, event: str) -> list[str]:
    return [row["id"] for row in catalogue.rows("SELECT id::text FROM seats WHERE event_id = %s", event)]


def test_only_what_is_sold_out_can_be_waited_for(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web, tickets=3)
    assert join(web, new_user(), sale.event, section="R").status == 201
    for wish in ({}, {"ticketTypeId": sale.tickets}):
        refused = join(web, new_user(), sale.event, 3, **wish)
        assert (refused.status, refused.json["code"]) == (409, "PLACES_AVAILABLE")
    assert join(web, new_user(), sale.event, 4, ticketTypeId=sale.tickets).status == 201


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, None),
        ({"quantity": 0}, 400, None),
        ({"quantity": "1"}, 400, None),
        ({"quantity": 1, "section": ""}, 400, None),
        ({"quantity": 1, "section": 3}, 400, None),
        ({"quantity": 1, "section": "no such"}, 400, "SECTION_NOT_FOUND"),
        ({"quantity": 1, "ticketTypeId": "x"}, 400, None),
        ({"quantity": 1, "section": "R", "ticketTypeId": "71c00000-0000-4000-8000-000000000003"}, 400, None),
        ({"quantity": 1, "ticketTypeId": "71c00000-0000-4000-8000-000000000003"}, 400, None),
        ({"quantity": 5}, 400, None),
        ({"quantity": 2**40}, 400, None),
    ],
)
def test_impossible_wishes_are_refused(
    web: Api, catalogue: Database, body: dict, status: int, code: str | None
) -> None:
    sale = sold_out(catalogue, web, seats=1)
    answer = web.post(f"/waitlist/{sale.event}", body, user=new_user())
    assert (answer.status, answer.json.get("code")) == (status, code), answer.json
    assert catalogue.one("SELECT count(*) FROM waitlist_entries WHERE event_id = %s", sale.event) == 0


def test_a_token_and_an_event_are_needed(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web, seats=1)
    unknown = new_user()
    assert web.post(f"/waitlist/{sale.event}", {"quantity": 1}).status == 401
    for method, path in (("GET", ""), ("POST", ""), ("POST", "/leave")):
        assert web.call(method, f"/waitlist/{unknown}{path}", {"quantity": 1}, user=new_user()).status == 404
        assert web.call(method, f"/waitlist/x{path}", {"quantity": 1}, user=new_user()).status == 400


def test_before_and_after_the_sale_nobody_joins(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web, seats=1)
    catalogue.rows("UPDATE events SET sale_end_date = now() - interval '1 s' WHERE id = %s", sale.event)
    assert join(web, new_user(), sale.event).json["message"] == "판매 중인 이벤트가 아닙니다."


def test_nobody_waits_for_more_than_a_buyer_may_have(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web)
    catalogue.rows("UPDATE events SET max_tickets_per_buyer = 2 WHERE id = %s", sale.event)
    assert join(web, new_user(), sale.event, 3).json["code"] == "TICKET_LIMIT_REACHED"
    assert join(web, sale.holders[0], sale.event, 2).json["code"] == "TICKET_LIMIT_REACHED"
    assert join(web, sale.holders[0], sale.event, 1).status == 201


# --- Offers -----------------------------------------------------------------------------------------------------------


def test_what_is_released_is_offered_to_the_first(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web)
    first, second = waiting(web, sale.event, 2)
    assert web.cancel(sale.holders[2], sale.holds[2]).status == 200
    offer = place(web, first, sale.event)
    assert (offer["state"], offer["position"]) == ("offered", 0)
    assert offered_seats(catalogue, first, sale.event) == [sale.seats[2]]
    seconds = (datetime.fromisoformat(offer["offer"]["expiresAt"]) - datetime.now(UTC)).total_seconds()
    assert 590 < seconds <= 600
    assert web.seat_status(sale.event, sale.seats[2]) == "locked"
    assert place(web, second, sale.event)["position"] == 1
    assert_books_agree(sale.event)
    paid = web.confirm(offer["offer"]["reservationId"], offer["offer"]["totalAmount"])
    assert paid.status == 200
    assert state(web, first, sale.event) == "confirmed"
    assert web.seat_status(sale.event, sale.seats[2]) == "sold"
    assert leave(web, first, sale.event).json["code"] == "NOT_WAITING"
    assert (
        catalogue.one("SELECT status FROM reservations WHERE id = %s", offer["offer"]["reservationId"]) == "confirmed"
    )
    assert_books_agree(sale.event)


def test_an_offer_that_is_not_taken_goes_to_the_next(web: Api, catalogue: Database) -> None:
    from reservations import services

    sale = sold_out(catalogue, web)
    first, second, third, fourth = waiting(web, sale.event, 4)
    web.cancel(sale.holders[0], sale.holds[0])
    catalogue.expire(place(web, first, sale.event)["offer"]["reservationId"])
    services.sweep()
    assert state(web, first, sale.event) == "expired"
    offer = place(web, second, sale.event)
    assert offer["state"] == "offered"
    assert web.cancel(second, offer["offer"]["reservationId"]).status == 200
    assert state(web, second, sale.event) == "cancelled"
    assert state(web, third, sale.event) == "offered"
    refused = join(web, third, sale.event)
    assert (refused.status, refused.json["code"]) == (409, "OFFER_IS_OPEN")
    assert leave(web, third, sale.event).status == 200
    assert offered_seats(catalogue, fourth, sale.event) == [sale.seats[0]]
    assert join(web, first, sale.event).status == 201
    assert_books_agree(sale.event)


def test_an_offer_that_is_being_paid_cannot_be_left(web: Api, catalogue: Database) -> None:
    from tests.support.harness import INTERNAL

    sale = sold_out(catalogue, web)
    (user,) = waiting(web, sale.event)
    web.cancel(sale.holders[0], sale.holds[0])
    reservation = place(web, user, sale.event)["offer"]["reservationId"]
    assert web.post(f"/internal/reservations/{reservation}/begin-payment", headers=INTERNAL).status == 200
    refused = leave(web, user, sale.event)
    assert (refused.status, refused.json["code"]) == (409, "PAYMENT_IN_PROGRESS")
    assert state(web, user, sale.event) == "offered"


def test_whoever_wants_less_than_the_first_is_not_held_up(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web)
    (pair,) = waiting(web, sale.event, quantity=2)
    single, late = waiting(web, sale.event, 2)
    web.cancel(sale.holders[0], sale.holds[0])
    assert (state(web, pair, sale.event), state(web, single, sale.event)) == ("waiting", "offered")
    assert place(web, pair, sale.event)["position"] == 1
    assert place(web, late, sale.event)["position"] == 2


def test_seats_of_one_offer_are_neighbours_if_any_are(web: Api, catalogue: Database) -> None:
    from reservations import services

    sale = sold_out(catalogue, web, seats=8)
    (pair,) = waiting(web, sale.event, quantity=2)
    for lapsed in (0, 3, 4, 6):
        catalogue.expire(sale.holds[lapsed])
    services.sweep()
    assert offered_seats(catalogue, pair, sale.event) == [sale.seats[3], sale.seats[4]]


def test_seats_of_one_offer_do_not_lie_across_an_aisle(web: Api, catalogue: Database) -> None:
    from reservations import services

    sale = sold_out(catalogue, web, seats=8)
    catalogue.rows(
        "UPDATE seats SET block = CASE WHEN seat_number <= 4 THEN 1 ELSE 2 END, position = seat_number WHERE event_id = %s",
        sale.event,
    )
    (pair,) = waiting(web, sale.event, quantity=2)
    for lapsed in (3, 4, 6, 7):
        catalogue.expire(sale.holds[lapsed])
    services.sweep()
    assert offered_seats(catalogue, pair, sale.event) == [sale.seats[6], sale.seats[7]]


def test_seats_are_kept_for_a_pair_one_after_the_other(web: Api, catalogue: Database) -> None:
    """What no one who waits can have alone is free; with the next seat it is offered."""
    sale = sold_out(catalogue, web)
    (pair,) = waiting(web, sale.event, quantity=2)
    web.cancel(sale.holders[0], sale.holds[0])
    assert web.seat_status(sale.event, sale.seats[0]) == "available"
    web.cancel(sale.holders[2], sale.holds[2])
    assert offered_seats(catalogue, pair, sale.event) == [sale.seats[0], sale.seats[2]]
    assert_books_agree(sale.event)


def test_a_section_and_a_ticket_type_can_be_chosen(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web, tickets=1)
    catalogue.rows("UPDATE seats SET section = 'S' WHERE id = %s", sale.seats[3])
    buyer = new_user()
    tickets = hold(web.buy(buyer, sale.event, **{sale.tickets: 1}))
    (in_s,) = waiting(web, sale.event, section="S")
    (standing,) = waiting(web, sale.event, ticketTypeId=sale.tickets)
    (anything,) = waiting(web, sale.event)
    web.cancel(sale.holders[0], sale.holds[0])
    assert offered_seats(catalogue, anything, sale.event) == [sale.seats[0]]
    web.cancel(buyer, tickets)
    assert state(web, standing, sale.event) == "offered"
    assert web.get(f"/events/{sale.event}").json["ticketTypes"][0]["available_quantity"] == 0
    web.cancel(sale.holders[3], sale.holds[3])
    assert offered_seats(catalogue, in_s, sale.event) == [sale.seats[3]]
    assert_books_agree(sale.event)


def test_whoever_takes_anything_may_be_offered_tickets(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web, tickets=2)
    buyer = new_user()
    tickets = hold(web.buy(buyer, sale.event, **{sale.tickets: 2}))
    (anything,) = waiting(web, sale.event, quantity=2)
    web.cancel(buyer, tickets)
    offer = place(web, anything, sale.event)["offer"]
    shown = web.get(f"/seats/reservation/{offer['reservationId']}", user=anything).json["reservation"]
    assert (shown["total_amount"], shown["seats"][0]["quantity"]) == (offer["totalAmount"], 2)
    assert shown["expires_at"] == offer["expiresAt"]


def test_no_offers_while_the_list_is_switched_off_or_the_event_is_not_on_sale(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web)
    (user,) = waiting(web, sale.event)
    catalogue.rows("UPDATE events SET has_waitlist = false WHERE id = %s", sale.event)
    web.cancel(sale.holders[0], sale.holds[0])
    assert state(web, user, sale.event) == "waiting"
    assert web.reserve(new_user(), sale.event, sale.seats[0]).status == 201
    catalogue.rows(
        "UPDATE events SET has_waitlist = true, sale_end_date = now() - interval '1 s' WHERE id = %s", sale.event
    )
    web.cancel(sale.holders[1], sale.holds[1])
    assert state(web, user, sale.event) == "waiting"


# --- Whatever releases places -----------------------------------------------------------------------------------------


def test_a_paid_reservation_that_is_cancelled_is_offered(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web)
    (user,) = waiting(web, sale.event)
    assert web.confirm(sale.holds[1], 1000).status == 200
    assert web.cancel(sale.holders[1], sale.holds[1]).status == 200
    assert offered_seats(catalogue, user, sale.event) == [sale.seats[1]]
    assert web.seat_status(sale.event, sale.seats[1]) == "locked"
    assert_books_agree(sale.event)


def test_a_refunded_reservation_is_offered(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web)
    (user,) = waiting(web, sale.event)
    assert web.confirm(sale.holds[1], 1000).status == 200
    assert web.refund(sale.holds[1]).status == 200
    assert offered_seats(catalogue, user, sale.event) == [sale.seats[1]]
    assert_books_agree(sale.event)


def test_a_part_that_is_cancelled_is_offered(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web, seats=1, tickets=3)
    buyer = new_user()
    tickets = pay(web, web.buy(buyer, sale.event, **{sale.tickets: 3}))
    users = waiting(web, sale.event, 2, ticketTypeId=sale.tickets)
    part = {"items": [{"ticketTypeId": sale.tickets, "quantity": 2}]}
    assert web.post(f"/reservations/{tickets}/cancel", part, user=buyer).status == 200
    assert [state(web, user, sale.event) for user in users] == ["offered", "offered"]
    assert_books_agree(sale.event)


def test_a_seat_of_a_part_is_offered(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web, seats=3)
    for n in range(3):
        web.cancel(sale.holders[n], sale.holds[n])
    buyer = new_user()
    paid = pay(web, web.reserve(buyer, sale.event, *sale.seats))
    (user,) = waiting(web, sale.event)
    part = {"items": [{"seatId": sale.seats[1]}]}
    assert web.post(f"/reservations/{paid}/cancel", part, user=buyer).status == 200
    assert offered_seats(catalogue, user, sale.event) == [sale.seats[1]]
    assert_books_agree(sale.event)


def test_the_sweep_offers_what_has_lapsed(web: Api, catalogue: Database) -> None:
    from reservations import services

    sale = sold_out(catalogue, web)
    users = waiting(web, sale.event, 3)
    for lapsed in (1, 3):
        catalogue.expire(sale.holds[lapsed])
    services.sweep()
    assert [offered_seats(catalogue, user, sale.event) for user in users] == [[sale.seats[1]], [sale.seats[3]], []]
    assert_books_agree(sale.event)


def test_a_hold_that_somebody_else_would_take_over_is_offered(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web, tickets=1)
    buyer = new_user()
    tickets = hold(web.buy(buyer, sale.event, **{sale.tickets: 1}))
    users = [*waiting(web, sale.event, section="R"), *waiting(web, sale.event, ticketTypeId=sale.tickets)]
    catalogue.expire(sale.holds[0])
    catalogue.expire(tickets)
    assert web.reserve(new_user(), sale.event, sale.seats[0]).status == 400
    assert web.buy(new_user(), sale.event, **{sale.tickets: 1}).status == 400
    assert [state(web, user, sale.event) for user in users] == ["offered", "offered"]
    assert_books_agree(sale.event)


def test_a_free_place_is_not_sold_past_those_who_wait(web: Api, catalogue: Database) -> None:
    """Nothing of this service has released it: another writer has, or it was added."""
    sale = sold_out(catalogue, web, seats=2)
    users = [*waiting(web, sale.event, section="R"), *waiting(web, sale.event, 2, ticketTypeId=sale.tickets)]
    catalogue.rows("UPDATE ticket_types SET total_quantity = 3, available_quantity = 3 WHERE id = %s", sale.tickets)
    added = add_seat(catalogue, sale.event)
    refused = web.reserve(new_user(), sale.event, added)
    assert (refused.status, refused.json["message"]) == (400, "이미 예약된 좌석입니다. (R-9-9)")
    assert web.buy(new_user(), sale.event, **{sale.tickets: 2}).status == 400
    assert web.buy(new_user(), sale.event, **{sale.tickets: 1}).status == 201
    assert [state(web, user, sale.event) for user in users] == ["offered"] * 3
    assert_books_agree(sale.event)


def test_what_a_swap_drops_is_offered_and_what_it_takes_is_not_somebody_elses(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web, seats=4)
    for n in (0, 1):
        web.cancel(sale.holders[n], sale.holds[n])
    buyer = new_user()
    mine = hold(web.reserve(buyer, sale.event, *sale.seats[:2]))
    first, second = waiting(web, sale.event, 2)
    dropped = web.post(f"/reservations/{mine}/seats", {"seatIds": [sale.seats[1]]}, user=buyer)
    assert dropped.status == 200
    assert offered_seats(catalogue, first, sale.event) == [sale.seats[0]]
    added = add_seat(catalogue, sale.event)
    swapped = web.post(f"/reservations/{mine}/seats", {"seatIds": [added]}, user=buyer)
    assert (swapped.status, swapped.json["message"]) == (400, "이미 예약된 좌석입니다. (R-9-9)")
    assert offered_seats(catalogue, second, sale.event) == [added]
    assert offered_seats(catalogue, buyer, sale.event) == [sale.seats[1]]
    assert_books_agree(sale.event)


def test_a_swap_that_nobody_minds_offers_the_seat_that_was_left(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web, seats=4)
    catalogue.rows("UPDATE seats SET section = 'S' WHERE id = %s", sale.seats[3])
    (in_r,) = waiting(web, sale.event, section="R")
    web.cancel(sale.holders[3], sale.holds[3])
    swapped = web.post(f"/reservations/{sale.holds[0]}/seats", {"seatIds": [sale.seats[3]]}, user=sale.holders[0])
    assert swapped.status == 200
    assert offered_seats(catalogue, in_r, sale.event) == [sale.seats[0]]
    assert web.seat_status(sale.event, sale.seats[0]) == "locked"
    assert_books_agree(sale.event)


def test_stock_that_an_organiser_adds_is_offered(web: Api, catalogue: Database) -> None:
    from reservations import services

    sale = sold_out(catalogue, web, seats=1)
    users = waiting(web, sale.event, 3, ticketTypeId=sale.tickets)
    services.change_total(ticket_type_id=sale.tickets, total=2)
    assert [state(web, user, sale.event) for user in users] == ["offered", "offered", "waiting"]
    assert_books_agree(sale.event)


def test_an_organiser_who_cancels_a_reservation_lets_it_be_offered(web: Api, catalogue: Database) -> None:
    from reservations import services

    sale = sold_out(catalogue, web)
    (user,) = waiting(web, sale.event)
    services.cancel_reservation(user_id=sale.holders[0], reservation_id=sale.holds[0], is_by_staff=True)
    assert offered_seats(catalogue, user, sale.event) == [sale.seats[0]]


def test_a_cancelled_event_offers_nothing(web: Api, catalogue: Database) -> None:
    from reservations import services

    sale = sold_out(catalogue, web)
    (user,) = waiting(web, sale.event)
    services.cancel_event(event_id=sale.event)
    assert state(web, user, sale.event) == "waiting"
    assert (
        catalogue.one("SELECT count(*) FROM reservations WHERE event_id = %s AND status = 'pending'", sale.event) == 0
    )


def test_seats_of_another_layout_are_offered(web: Api, catalogue: Database) -> None:
    from reservations import services

    sale = sold_out(catalogue, web, seats=1)
    users = waiting(web, sale.event, 3)
    layout = catalogue.one(
        "INSERT INTO seat_layouts (name, total_seats, layout_config) VALUES ('two', 2,"
        """ '{"sections": [{"name": "A", "rows": 1, "seatsPerRow": 2, "price": 500, "startRow": 1}]}') RETURNING id::text"""
    )
    catalogue.rows("UPDATE events SET has_waitlist = false WHERE id = %s", sale.event)
    web.cancel(sale.holders[0], sale.holds[0])
    catalogue.rows("UPDATE events SET has_waitlist = true WHERE id = %s", sale.event)
    services.change_layout(event_id=sale.event, layout_id=layout)
    assert [state(web, user, sale.event) for user in users] == ["offered", "offered", "waiting"]
    assert_books_agree(sale.event)


def test_the_sweep_offers_what_nobody_has_released(web: Api, catalogue: Database) -> None:
    from reservations import services

    sale = sold_out(catalogue, web, seats=1)
    users = waiting(web, sale.event, 2)
    add_seat(catalogue, sale.event)
    services.sweep()
    assert [state(web, user, sale.event) for user in users] == ["offered", "waiting"]
    assert_books_agree(sale.event)


# --- Late payments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_swept", [False, True])
def test_a_late_payment_buys_nothing_that_is_due_to_others(web: Api, catalogue: Database, is_swept: bool) -> None:
    from reservations import services

    sale = sold_out(catalogue, web)
    (user,) = waiting(web, sale.event)
    catalogue.rows("UPDATE reservations SET expires_at = now() - interval '5 s' WHERE id = %s", sale.holds[0])
    if is_swept:
        services.sweep()
    late = web.confirm(sale.holds[0], 1000)
    assert (late.status, late.json["code"]) == (409, "RESERVATION_EXPIRED")
    assert offered_seats(catalogue, user, sale.event) == [sale.seats[0]]
    assert_books_agree(sale.event)


def test_a_late_payment_that_takes_nothing_from_anybody_is_accepted(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web)
    (pair,) = waiting(web, sale.event, quantity=2)
    catalogue.rows("UPDATE reservations SET expires_at = now() - interval '5 s' WHERE id = %s", sale.holds[0])
    assert web.confirm(sale.holds[0], 1000).status == 200
    assert state(web, pair, sale.event) == "waiting"
    assert web.seat_status(sale.event, sale.seats[0]) == "sold"
    assert_books_agree(sale.event)


# --- Limits -----------------------------------------------------------------------------------------------------------


def test_whoever_has_enough_is_passed_over(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web, tickets=10)
    catalogue.rows("UPDATE events SET max_tickets_per_buyer = 4 WHERE id = %s", sale.event)
    full, other = waiting(web, sale.event, 2, quantity=2, section="R")
    assert web.buy(full, sale.event, **{sale.tickets: 3}).status == 201
    for n in (0, 1):
        web.cancel(sale.holders[n], sale.holds[n])
    assert (state(web, full, sale.event), state(web, other, sale.event)) == ("waiting", "offered")
    assert place(web, full, sale.event)["position"] == 1


def test_nobody_is_offered_the_seat_that_they_have_let_lapse(web: Api, catalogue: Database) -> None:
    from reservations import services

    sale = sold_out(catalogue, web)
    lapsed = sale.holders[0]
    assert join(web, lapsed, sale.event).status == 201
    (other,) = waiting(web, sale.event)
    catalogue.expire(sale.holds[0])
    services.sweep()
    assert (state(web, lapsed, sale.event), state(web, other, sale.event)) == ("waiting", "offered")
    web.cancel(sale.holders[1], sale.holds[1])
    assert offered_seats(catalogue, lapsed, sale.event) == [sale.seats[1]]


def test_offers_count_as_unpaid_time(web: Api, catalogue: Database) -> None:
    sale = sold_out(catalogue, web)
    user, other = new_user(), new_user()
    assert join(web, user, sale.event).status == 201
    web.cancel(sale.holders[0], sale.holds[0])
    catalogue.rows(
        "UPDATE reservations SET created_at = created_at - interval '11 min', expires_at = now() - interval '1 s'"
        " WHERE user_id = %s",
        user,
    )
    assert join(web, user, sale.event).status == 201
    assert join(web, other, sale.event).status == 201
    web.cancel(sale.holders[1], sale.holds[1])
    assert (state(web, user, sale.event), state(web, other, sale.event)) == ("waiting", "offered")
