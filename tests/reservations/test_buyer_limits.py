"""A buyer has at most so many seats and tickets of an event, and cannot park those that others want."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from devtools.embedded import Servers
from tests.support.harness import Answer, Api, Database, assert_books_agree, at_once, new_user, running_web
from tests.support.interleaving import InProcess, in_a_thread, locked_row
from tests.support.limited_sale import LimitedSale, held, let_time_pass, limited_sale

TRIALS = 50
LIMIT_REACHED = {
    "success": False,
    "message": "1인당 최대 4매까지 예매할 수 있습니다.",
    "code": "TICKET_LIMIT_REACHED",
}


def is_at_limit(answer: Answer) -> bool:
    return (answer.status, answer.json) == (400, LIMIT_REACHED)


# --- How many ---------------------------------------------------------------------------------------------------------


def test_seats_and_tickets_pending_and_paid_count_together(web: Api, catalogue: Database) -> None:
    sale, user = limited_sale(catalogue), new_user()
    paid = web.reserve(user, sale.event, *sale.seats[:2]).json["reservation"]
    assert web.confirm(paid["id"], paid["totalAmount"]).status == 200
    assert web.buy(user, sale.event, **{sale.tickets: 1}).status == 201
    assert is_at_limit(web.reserve(user, sale.event, *sale.seats[2:4]))
    assert is_at_limit(web.buy(user, sale.event, **{sale.tickets: 2}))
    assert web.reserve(user, sale.event, sale.seats[2]).status == 201
    assert is_at_limit(web.buy(user, sale.event, **{sale.tickets: 1}))
    assert held(catalogue, user, sale.event) == 4
    assert web.reserve(new_user(), sale.event, sale.seats[3]).status == 201
    assert_books_agree(sale.event)


def test_what_was_given_back_counts_no_more(web: Api, catalogue: Database) -> None:
    sale, user = limited_sale(catalogue), new_user()
    mine = [web.buy(user, sale.event, **{sale.tickets: 2}).json["reservation"]["id"] for _ in range(2)]
    assert is_at_limit(web.buy(user, sale.event, **{sale.tickets: 1}))
    assert web.cancel(user, mine[0]).status == 200
    assert web.buy(user, sale.event, **{sale.tickets: 2}).status == 201
    catalogue.expire(mine[1])  # and nobody has swept it
    assert web.buy(user, sale.event, **{sale.tickets: 2}).status == 201
    assert catalogue.one("SELECT status FROM reservations WHERE id = %s", mine[1]) == "expired"
    assert is_at_limit(web.reserve(user, sale.event, sale.seats[0]))


def test_other_events_do_not_count(web: Api, catalogue: Database) -> None:
    first, second, user = limited_sale(catalogue), limited_sale(catalogue), new_user()
    assert web.buy(user, first.event, **{first.tickets: 4}).status == 201
    assert web.buy(user, second.event, **{second.tickets: 4}).status == 201


def test_an_event_without_a_limit_of_its_own_has_the_default(web: Api, catalogue: Database) -> None:
    sale, user = limited_sale(catalogue, most=None), new_user()
    assert web.buy(user, sale.event, **{sale.tickets: 10}).status == 201
    answer = web.buy(user, sale.event, **{sale.tickets: 1})
    assert (answer.status, answer.json["message"]) == (400, "1인당 최대 10매까지 예매할 수 있습니다.")


def test_availability_is_judged_first(web: Api, catalogue: Database) -> None:
    sale, user = limited_sale(catalogue, tickets=5), new_user()
    assert web.reserve(new_user(), sale.event, sale.seats[0]).status == 201
    assert web.buy(user, sale.event, **{sale.tickets: 4}).status == 201
    assert web.reserve(user, sale.event, sale.seats[0]).json["message"] == "이미 예약된 좌석입니다. (R-1-1)"
    assert web.buy(user, sale.event, **{sale.tickets: 2}).json["message"] == "T 티켓이 부족합니다. (남은 수량: 1)"
    assert is_at_limit(web.buy(user, sale.event, **{sale.tickets: 1}))


def test_nothing_happens_and_problem_json_has_the_code(web: Api, catalogue: Database) -> None:
    sale, user = limited_sale(catalogue), new_user()
    before = catalogue.everything()
    body = {"eventId": sale.event, "items": [{"ticketTypeId": sale.tickets, "quantity": 5}]}
    answer = web.post("/reservations", body, user=user, headers={"Accept": "application/problem+json"})
    assert (answer.status, answer.json["code"]) == (400, "TICKET_LIMIT_REACHED")
    assert catalogue.everything() == before


def test_a_repeated_request_gets_no_more(web: Api, catalogue: Database) -> None:
    sale, user = limited_sale(catalogue), new_user()
    named = {"Idempotency-Key": "once"}
    answers = at_once([partial(web.buy, user, sale.event, named, **{sale.tickets: 3}) for _ in range(20)])
    assert {answer.status for answer in answers} <= {201, 409}
    again = web.buy(user, sale.event, named, **{sale.tickets: 3})
    made = {answer.json["reservation"]["id"] for answer in [*answers, again] if answer.status == 201}
    assert (again.status, len(made), held(catalogue, user, sale.event)) == (201, 1, 3)
    assert is_at_limit(web.buy(user, sale.event, {"Idempotency-Key": "another"}, **{sale.tickets: 2}))
    assert web.cancel(user, made.pop()).status == 200
    assert web.buy(user, sale.event, {"Idempotency-Key": "another"}, **{sale.tickets: 2}).status == 201


# --- Many at once -----------------------------------------------------------------------------------------------------


def twenty_at_once(api: Api, sale: LimitedSale, user: str) -> list[Answer]:
    """Ten seats and ten tickets, mixed; every other request for tickets can be repeated."""
    seats = [partial(api.reserve, user, sale.event, seat) for seat in sale.seats[:10]]
    tickets = [
        partial(api.buy, user, sale.event, {"Idempotency-Key": f"k{n}"} if n % 2 else None, **{sale.tickets: 1})
        for n in range(10)
    ]
    return at_once([call for pair in zip(seats, tickets, strict=True) for call in pair])


def assert_four_are_held(api: Api, world: Database) -> None:
    for _ in range(TRIALS):
        sale, user = limited_sale(world), new_user()
        answers = twenty_at_once(api, sale, user)
        assert Counter(answer.status for answer in answers) == {201: 4, 400: 16}
        assert all(is_at_limit(answer) for answer in answers if answer.status == 400)
        assert held(world, user, sale.event) == 4
    assert_books_agree(sale.event)


@pytest.mark.slow
def test_of_20_requests_of_one_buyer_4_succeed(web: Api, world: Database) -> None:
    assert_four_are_held(web, world)


@pytest.mark.slow
def test_the_same_without_redis(web: Api, world: Database, redis_server: Servers) -> None:
    sales = [limited_sale(world) for _ in range(TRIALS)]
    world.turn_waiting_rooms_off()
    redis_server.stop_redis()
    for sale in sales:
        user = new_user()
        answers = twenty_at_once(web, sale, user)
        assert Counter(answer.status for answer in answers) == {201: 4, 400: 16}
        assert held(world, user, sale.event) == 4


@contextmanager
def without_the_lock(world: Database) -> Iterator[None]:
    """The function that counts what a buyer has, without taking turns, and with a moment between looking and writing."""
    text = world.one("SELECT pg_get_functiondef('lock_buyer'::regproc)")
    lock = "PERFORM pg_advisory_xact_lock(uuid_hash_extended(buyer, uuid_hash_extended(event, 0)));"
    assert lock in text
    of_a_new_buyer = "IF NOT FOUND THEN"
    assert of_a_new_buyer in text
    world.rows(text.replace(lock, "").replace(of_a_new_buyer, f"{of_a_new_buyer} PERFORM pg_sleep(0.3);"))
    try:
        yield
    finally:
        world.rows(text)


def test_control_without_the_lock_a_buyer_gets_more(web: Api, world: Database) -> None:
    sale, user = limited_sale(world), new_user()
    with without_the_lock(world):
        twenty_at_once(web, sale, user)
    assert held(world, user, sale.event) > 4


def test_buyers_do_not_wait_for_each_other(catalogue: Database) -> None:
    """While one buyer's statement takes its time, another one buys; the first buyer's next request waits."""
    api, sale, first, second = InProcess(), limited_sale(catalogue), new_user(), new_user()
    lock = f"SELECT pg_advisory_xact_lock(uuid_hash_extended('{first}', uuid_hash_extended('{sale.event}', 0)))"
    somebody = Database(catalogue.url)
    somebody.rows("BEGIN")
    somebody.rows(lock)
    with ThreadPoolExecutor(1) as threads:
        mine = threads.submit(in_a_thread, partial(api.reserve, first, sale.event, sale.seats[0]))
        assert api.reserve(second, sale.event, sale.seats[1]).status == 201
        assert not mine.done()
        somebody.close()
        assert mine.result().status == 201


def test_a_crowd_on_a_taken_seat_does_not_ask_for_the_lock(catalogue: Database) -> None:
    api, sale, user = InProcess(), limited_sale(catalogue), new_user()
    assert api.reserve(new_user(), sale.event, sale.seats[0]).status == 201
    somebody = Database(catalogue.url)
    somebody.rows("BEGIN")
    somebody.rows(f"SELECT pg_advisory_xact_lock(uuid_hash_extended('{user}', uuid_hash_extended('{sale.event}', 0)))")
    try:
        assert api.reserve(user, sale.event, sale.seats[0]).json["message"] == "이미 예약된 좌석입니다. (R-1-1)"
    finally:
        somebody.close()


def test_cancelling_does_not_wait_for_a_request_of_the_same_buyer(catalogue: Database) -> None:
    """A buyer who waits for a seat has no lock that the one who gives it back needs."""
    api, sale, user = InProcess(), limited_sale(catalogue), new_user()
    mine = api.reserve(user, sale.event, sale.seats[0]).json["reservation"]["id"]
    with ThreadPoolExecutor(1) as threads, locked_row(catalogue, "seats", sale.seats[1]):
        waiting = threads.submit(in_a_thread, partial(api.reserve, user, sale.event, sale.seats[1]))
        assert api.cancel(user, mine).status == 200
    assert waiting.result().status == 201


# --- Parking ----------------------------------------------------------------------------------------------------------


def let_go(web: Api, world: Database, how: str, user: str, reservation: str) -> None:
    if how == "cancelled":
        assert web.cancel(user, reservation).status == 200
    else:
        let_time_pass(world, user, 300)


@pytest.mark.parametrize("how", ["cancelled", "lapsed"])
def test_a_seat_that_was_let_go_is_closed_to_that_buyer(web: Api, catalogue: Database, how: str) -> None:
    sale, user = limited_sale(catalogue), new_user()
    mine = web.reserve(user, sale.event, *sale.seats[:2]).json["reservation"]["id"]
    let_go(web, catalogue, how, user, mine)
    refused = web.reserve(user, sale.event, *sale.seats[1:3])
    assert (refused.status, refused.json["code"]) == (400, "SEAT_RECENTLY_RELEASED")
    assert refused.json["success"] is False
    told = re.fullmatch(
        r"결제하지 않고 놓은 좌석은 (\d+)초 후에 다시 선택할 수 있습니다. \(R-1-2\)", refused.json["message"]
    )
    assert told
    assert 590 <= int(told[1]) <= 600
    assert web.reserve(user, sale.event, sale.seats[2]).status == 201
    assert web.reserve(new_user(), sale.event, sale.seats[0]).status == 201
    let_time_pass(catalogue, user, 595)
    assert web.reserve(user, sale.event, sale.seats[1]).status == 400
    let_time_pass(catalogue, user, 10)
    assert web.reserve(user, sale.event, sale.seats[1]).status == 201


def test_a_seat_that_was_paid_and_given_back_is_not_closed(web: Api, catalogue: Database) -> None:
    sale, user = limited_sale(catalogue), new_user()
    mine = web.reserve(user, sale.event, sale.seats[0]).json["reservation"]
    assert web.confirm(mine["id"], mine["totalAmount"]).status == 200
    assert web.cancel(user, mine["id"]).status == 200
    assert web.reserve(user, sale.event, sale.seats[0]).status == 201


Hold = Callable[[Api, LimitedSale, str, int], Answer]


def hold_a_seat(web: Api, sale: LimitedSale, user: str, n: int) -> Answer:
    return web.reserve(user, sale.event, sale.seats[n])


def hold_a_ticket(web: Api, sale: LimitedSale, user: str, n: int) -> Answer:
    return web.buy(user, sale.event, **{sale.tickets: 1})


@pytest.mark.parametrize("hold", [hold_a_seat, hold_a_ticket])
def test_the_time_unpaid_is_bounded(web: Api, catalogue: Database, hold: Hold) -> None:
    sale, user = limited_sale(catalogue), new_user()
    for n in range(3):
        assert hold(web, sale, user, n).status == 201
        let_time_pass(catalogue, user, 300)
    refused = hold(web, sale, user, 3)
    assert (refused.status, refused.json["code"]) == (400, "UNPAID_TIME_USED_UP")
    assert hold(web, sale, new_user(), 4).status == 201
    assert hold(web, limited_sale(catalogue), user, 0).status == 201  # of another event
    let_time_pass(catalogue, user, 3600 - 900 + 290)  # the first of the hour is over but for ten seconds
    assert hold(web, sale, user, 5).status == 400
    let_time_pass(catalogue, user, 15)
    assert hold(web, sale, user, 6).status == 201


def test_holds_at_the_same_time_count_once_and_paid_ones_not_at_all(web: Api, catalogue: Database) -> None:
    sale, user = limited_sale(catalogue, most=12), new_user()
    for n in range(4):
        mine = web.reserve(user, sale.event, sale.seats[n]).json["reservation"]
        let_time_pass(catalogue, user, 10)
        if n > 1:
            assert web.confirm(mine["id"], mine["totalAmount"]).status == 200
    let_time_pass(catalogue, user, 300)
    assert web.reserve(user, sale.event, sale.seats[4]).status == 201  # 310, and 300 more
    let_time_pass(catalogue, user, 280)
    assert web.reserve(user, sale.event, sale.seats[5]).status == 201  # 310 + 280 + 300
    assert web.reserve(user, sale.event, sale.seats[6]).status == 201
    let_time_pass(catalogue, user, 15)
    assert web.reserve(user, sale.event, sale.seats[7]).json["code"] == "UNPAID_TIME_USED_UP"


def test_both_rules_can_be_turned_off(database_url: str, catalogue: Database, tmp_path: Path) -> None:
    sale, user = limited_sale(catalogue), new_user()
    off = {"RELOCK_SECONDS": "0", "UNPAID_HOLD_SECONDS": "0", "WEB_WORKERS": "1", "WEB_THREADS": "2"}
    with running_web(tmp_path / "web.log", DATABASE_URL=database_url, **off) as api:
        for _ in range(6):
            assert api.reserve(user, sale.event, sale.seats[0]).status == 201
            let_time_pass(catalogue, user, 300)
        limits = api.get(f"/events/{sale.event}/sale").json["limits"]
        assert (limits["relockSeconds"], limits["unpaidHoldSeconds"]) == (0, 0)


# --- What a client reads of it ----------------------------------------------------------------------------------------


def test_the_terms_of_a_sale(web: Api, catalogue: Database) -> None:
    sale = limited_sale(catalogue)
    answer = web.get(f"/events/{sale.event}/sale")
    assert answer.status == 200
    assert answer.json["eventId"] == sale.event
    assert answer.json["limits"] == {
        "maxTicketsPerBuyer": 4,
        "maxSeatsPerReservation": 4,
        "holdSeconds": 300,
        "relockSeconds": 600,
        "unpaidHoldSeconds": 900,
        "unpaidHoldWindowSeconds": 3600,
    }
    assert web.get(f"/api/events/{sale.event.upper()}/sale/").json == answer.json
    catalogue.rows("UPDATE events SET max_tickets_per_buyer = NULL WHERE id = %s", sale.event)
    assert web.get(f"/events/{sale.event}/sale").json["limits"]["maxTicketsPerBuyer"] == 10


def test_the_terms_of_an_unknown_sale(web: Api, catalogue: Database) -> None:
    unknown = web.get(f"/events/{new_user()}/sale")
    assert (unknown.status, unknown.json) == (404, {"error": "이벤트를 찾을 수 없습니다."})
    assert (web.get("/events/1/sale").status, web.post(f"/events/{new_user()}/sale").status) == (400, 405)
