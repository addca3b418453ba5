"""The best available seats are chosen and reserved in one step; hand-picked ones may be forbidden to leave orphans."""

import json
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from devtools.embedded import Servers
from queueing.services import admit_next
from tests.support.best_seats import add_hall, add_rows
from tests.support.harness import (
    STANDING,
    UPCOMING,
    Answer,
    Api,
    Database,
    assert_books_agree,
    at_once,
    new_user,
)
from tests.support.interleaving import InProcess, in_a_thread, locked_row
from tests.support.limited_sale import held
from tests.support.live import running_realtime
from tests.support.round_trips import Counted
from tests.support.subscribers import subscribed

NONE = {
    "success": False,
    "message": "조건에 맞는 좌석이 없습니다. 매수나 조건을 바꿔 다시 시도해주세요.",
    "code": "NO_SEATS_TOGETHER",
}


def labels(answer: Answer) -> list[str]:
    assert answer.status in (200, 201), answer.json
    return [seat["seat_label"] for seat in answer.json["reservation"]["seats"]]


def limit(world: Database, event: str, *, seats: int = 4, tickets: int = 100) -> None:
    world.rows(
        "UPDATE events SET max_seats_per_reservation = %s, max_tickets_per_buyer = %s WHERE id = %s",
        seats,
        tickets,
        event,
    )


# --- One buyer --------------------------------------------------------------------------------------------------------


def test_the_answer_is_that_of_reserving(web: Api, catalogue: Database) -> None:
    event, seats = add_rows(catalogue, "......")
    picked = web.reserve(new_user(), event, seats["R-1-6"])
    user = new_user()
    answer = web.best(user, event, 2)
    assert (answer.status, set(answer.json)) == (201, set(picked.json))
    made = answer.json["reservation"]
    assert answer.json["message"] == picked.json["message"]
    assert set(made) == set(picked.json["reservation"])
    assert set(made["seats"][0]) == set(picked.json["reservation"]["seats"][0])
    assert labels(answer) == ["R-1-4", "R-1-5"]  # 3 and 4 would leave 5 alone
    assert made["totalAmount"] == 2000
    assert {seat["status"] for seat in made["seats"]} == {"available"}  # as they were: recorded so
    status = catalogue.rows(
        "SELECT status FROM seats WHERE id = ANY(%s::uuid[])", [seat["id"] for seat in made["seats"]]
    )
    assert status == [{"status": "locked"}] * 2
    read = web.get(f"/seats/reservation/{made['id']}", user=user).json["reservation"]
    assert {seat["seatLabel"] for seat in read["seats"]} == {"R-1-4", "R-1-5"}
    assert web.confirm(made["id"], 2000).status == 200
    assert_books_agree(event)


def test_wishes_are_met(web: Api, catalogue: Database) -> None:
    event, seats = add_hall(catalogue)
    limit(catalogue, event)
    by_id = {seat.id: seat for seat in seats}

    def best(**wish: Any) -> set[tuple[str, int]]:
        answer = web.best(new_user(), event, 2, **wish)
        assert answer.status == 201, answer.json
        return {(by_id[seat["id"]].section, by_id[seat["id"]].row) for seat in answer.json["reservation"]["seats"]}

    assert best() == {("R", 1)}
    assert best(section="S") == {("S", 26)}
    assert best(maxPrice=69_999) == {("A", 1)}
    assert best(maxPrice=70_000, section=None) == {("S", 26)}
    assert best(accessible=True) == {("R", 25)}
    assert best(accessible=False, maxPrice=None) == {("R", 1)}
    assert web.best(new_user(), event, 2, maxPrice=10).json == NONE
    assert web.best(new_user(), event, 2, section="S", accessible=True).json == NONE
    refused = web.best(new_user(), event, 2, section="T")
    assert (refused.status, refused.json["code"]) == (400, "SECTION_NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"eventId": "x"}, "Invalid event ID format"),
        ({"quantity": None}, "수량은 정수여야 합니다."),
        ({"quantity": "2"}, "수량은 정수여야 합니다."),
        ({"quantity": 1.0}, "수량은 정수여야 합니다."),
        ({"quantity": True}, "수량은 정수여야 합니다."),
        ({"quantity": 0}, "수량은 1 이상이어야 합니다."),
        ({"quantity": 5}, "최대 4석까지 선택 가능합니다."),
        ({"quantity": 10**9}, "최대 4석까지 선택 가능합니다."),
        ({"quantity": 10**30}, "수량은 정수여야 합니다."),
        ({"section": ""}, "section must be a text of 1 to 50 characters"),
        ({"section": "x" * 51}, "section must be a text of 1 to 50 characters"),
        ({"section": 1}, "section must be a text of 1 to 50 characters"),
        ({"section": "R\x00"}, "section must be a text of 1 to 50 characters"),
        ({"maxPrice": -1}, "maxPrice must be a whole number of won"),
        ({"maxPrice": 2**31}, "maxPrice must be a whole number of won"),
        ({"maxPrice": 1.5}, "maxPrice must be a whole number of won"),
        ({"accessible": None}, "accessible must be true or false"),
        ({"accessible": "yes"}, "accessible must be true or false"),
    ],
)
def test_bad_input_is_refused(web: Api, catalogue: Database, body: dict[str, Any], message: str) -> None:
    event, _ = add_rows(catalogue, "....")
    limit(catalogue, event)
    answer = web.post("/seats/best-available", {"eventId": event, "quantity": 2, **body}, user=new_user())
    assert (answer.status, answer.json) == (400, {"error": message})


def test_garbage_is_refused(web: Api, catalogue: Database) -> None:
    event, _ = add_rows(catalogue, "....")
    lone = json.dumps({"eventId": event, "quantity": 1, "section": "\ud800"}).encode()
    for body in (b"", b"[1]", b"{", b"\xff\xfe", lone):
        assert web.post("/seats/best-available", body, user=new_user()).status == 400
    assert web.post("/seats/best-available", {"eventId": event, "quantity": 1}).status == 401
    assert web.get("/seats/best-available", user=new_user()).status == 405


def test_events_that_sell_no_seats_refuse(web: Api, catalogue: Database) -> None:
    assert web.best(new_user(), "99999999-9999-4999-8999-999999999999", 1).status == 404
    refused = web.best(new_user(), UPCOMING, 1)
    assert (refused.status, refused.json["message"]) == (
        400,
        web.reserve(new_user(), UPCOMING, UPCOMING).json["message"],
    )
    assert web.best(new_user(), STANDING, 1).json == NONE
    event, _ = add_rows(catalogue, "....")
    limit(catalogue, event, seats=2)
    assert web.best(new_user(), event, 3).json == {"error": "최대 2석까지 선택 가능합니다."}


def test_nothing_happens_when_none_are_together(web: Api, catalogue: Database) -> None:
    event, _ = add_rows(catalogue, ".x.x.")
    before = catalogue.everything()
    refused = web.best(new_user(), event, 3)
    assert (refused.status, refused.json) == (400, NONE)
    assert catalogue.everything() == before
    problem = web.best(new_user(), event, 3, {"Accept": "application/problem+json"})
    assert (problem.status, problem.json["code"]) == (400, "NO_SEATS_TOGETHER")


def test_the_limits_of_a_buyer_count(web: Api, catalogue: Database) -> None:
    event, seats = add_rows(catalogue, "........")
    limit(catalogue, event, tickets=4)
    user = new_user()
    assert web.reserve(user, event, seats["R-1-1"]).status == 201
    assert web.best(user, event, 2).status == 201
    refused = web.best(user, event, 2)
    assert (refused.status, refused.json["code"]) == (400, "TICKET_LIMIT_REACHED")
    assert web.best(user, event, 1).status == 201
    assert held(catalogue, user, event) == 4


@pytest.mark.parametrize("how", ["cancelled", "dropped"])
def test_seats_that_the_buyer_has_let_go_are_not_chosen_again(web: Api, catalogue: Database, how: str) -> None:
    event, _ = add_rows(catalogue, "......")
    user = new_user()
    first = web.best(user, event, 2)
    made = first.json["reservation"]
    if how == "cancelled":
        assert web.cancel(user, made["id"]).status == 200
        assert labels(web.best(user, event, 2)) == ["R-1-1", "R-1-2"]  # 3 and 4 are closed
    else:
        kept = {"seatIds": [made["seats"][0]["id"]]}
        assert web.post(f"/reservations/{made['id']}/seats", kept, user=user).status == 200
        assert "R-1-4" not in labels(web.best(user, event, 2))
    assert labels(first) == ["R-1-3", "R-1-4"]
    assert_books_agree(event)


def test_a_repeated_request_gets_the_same_seats(web: Api, catalogue: Database) -> None:
    event, _ = add_rows(catalogue, "........")
    user, named = new_user(), {"Idempotency-Key": "once"}
    answers = at_once([partial(web.best, user, event, 3, named) for _ in range(10)])
    assert {answer.status for answer in answers} <= {201, 409}
    again = web.best(user, event, 3, named)
    made = {json.dumps(answer.json) for answer in [*answers, again] if answer.status == 201}
    assert (again.status, len(made), held(catalogue, user, event)) == (201, 1, 3)
    other = web.best(user, event, 2, named)
    assert (other.status, other.json["error"]) == (422, "Idempotency-Key가 다른 요청에 사용되었습니다.")
    # What was refused for want of seats may succeed later.
    late = {"Idempotency-Key": "late"}
    everybody_else = web.best(new_user(), event, 4).json["reservation"]["id"]
    assert web.best(new_user(), event, 1).status == 201
    assert web.best(user, event, 2, late).json == NONE
    catalogue.expire(everybody_else)
    assert web.best(user, event, 2, late).status == 201


def test_lapsed_holds_are_there_for_the_next_one(web: Api, catalogue: Database) -> None:
    """Nobody has swept them."""
    event, _ = add_rows(catalogue, "..")
    held_by_another = web.best(new_user(), event, 2).json["reservation"]["id"]
    assert web.best(new_user(), event, 2).json == NONE
    catalogue.expire(held_by_another)
    assert web.best(new_user(), event, 2).status == 201
    assert catalogue.one("SELECT status FROM reservations WHERE id = %s", held_by_another) == "expired"
    assert_books_agree(event)


def test_a_seat_in_a_wrong_state_is_passed_over(web: Api, catalogue: Database) -> None:
    """Somebody has made it available although a reservation has it: the audit reports it."""
    event, seats = add_rows(catalogue, "...")
    assert web.reserve(new_user(), event, seats["R-1-2"]).status == 201
    with catalogue.without_triggers():
        catalogue.rows("UPDATE seats SET status = 'available' WHERE id = %s", seats["R-1-2"])
    assert labels(web.best(new_user(), event, 1)) == ["R-1-1"]


def test_it_takes_as_many_round_trips_as_reserving(counted_web: Counted, world: Database) -> None:
    event, _ = add_hall(world)
    for _ in range(12):
        assert counted_web.api.best(new_user(), event, 1).status == 201
    user = new_user()
    assert counted_web.during(lambda: counted_web.api.best(user, event, 1)) == (1, 2)
    named = {"Idempotency-Key": "k"}
    assert counted_web.during(lambda: counted_web.api.best(user, event, 1, named)) == (1, 2)
    taken = "UPDATE seats SET status = 'sold' WHERE event_id = %s AND status = 'available'"
    with world.without_triggers():
        world.rows(taken, event)
    world.expire(world.one("SELECT id::text FROM reservations WHERE user_id = %s ORDER BY id LIMIT 1", user))
    admit_next()  # or the visit asks for an admission round, which is one more
    # A hold past its deadline is all that is left: it is ended, and told.
    assert counted_web.during(lambda: counted_web.api.best(new_user(), event, 1)) == (3, 3)


def test_the_waiting_room_is_passed_first(web: Api, catalogue: Database) -> None:
    event, _ = add_rows(catalogue, "....")
    catalogue.rows("INSERT INTO queue_policies (event_id, threshold) VALUES (%s, 1)", event)
    first, second = new_user(), new_user()
    assert web.post(f"/queue/check/{event}", user=first).json["state"] == "active"
    assert web.post(f"/queue/check/{event}", user=second).status == 200
    refused, picked = web.best(second, event, 1), web.reserve(second, event, event)
    assert (refused.status, refused.json) == (picked.status, picked.json)
    assert refused.status == 403
    assert web.best(first, event, 1).status == 201


@pytest.mark.slow
def test_sockets_and_subscribers_are_told(web: Api, world: Database, database_url: str, logs: Path) -> None:
    event, seats = add_rows(world, "......")
    with (
        subscribed(world, "reservation.created"),
        running_realtime(logs / "realtime-best.log", DATABASE_URL=database_url) as realtime,
    ):
        socket = realtime.seats(event)
        socket.first("hello")
        answer = web.best(new_user(), event, 2)
        locked = {seat["id"] for seat in answer.json["reservation"]["seats"]}
        socket.wait(lambda heard: len(heard.of_type("seat-locked")) == 2)
        assert {message["seatId"] for message in socket.of_type("seat-locked")} == locked
        realtime.close_all()
        messages = world.rows("SELECT kind, data FROM outbox_messages WHERE event_id = %s", event)
    assert [message["kind"] for message in messages] == ["reservation.created"]
    assert {item["seatId"] for item in messages[0]["data"]["items"]} == locked == {seats["R-1-3"], seats["R-1-4"]}


# --- Many at once -----------------------------------------------------------------------------------------------------


def pairs_of_seats(pairs: int) -> list[dict[str, Any]]:
    return [{"name": "R", "rows": pairs // 2, "seatsPerRow": 4, "price": 1000, "aisles": [2]}]


def seats_given(answers: Iterable[Answer]) -> list[str]:
    """The ids of all seats that were reserved, one as often as it was."""
    return [seat["id"] for answer in answers if answer.status == 201 for seat in answer.json["reservation"]["seats"]]


def ask_for_pairs(world: Database, web: Api, *, pairs: int, askers: int) -> Counter[int]:
    """Each of the askers wants two seats, and there are so many pairs, two in a row with an aisle between them."""
    event, _ = add_hall(world, pairs_of_seats(pairs))
    limit(world, event, seats=2)
    world.widen_waiting_rooms()
    answers = at_once([partial(web.best, new_user(), event, 2) for _ in range(askers)])
    given = seats_given(answers)
    assert len(given) == len(set(given))
    in_items = world.one(
        "SELECT count(DISTINCT i.seat_id) FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id"
        " WHERE r.event_id = %s AND i.is_live",
        event,
    )
    assert in_items == len(given)
    rows = world.rows(
        "SELECT s.row_number, s.block, s.position FROM seats s JOIN reservation_items i ON i.seat_id = s.id"
        " WHERE s.event_id = %s ORDER BY i.reservation_id, s.position",
        event,
    )
    for one, other in zip(rows[::2], rows[1::2], strict=True):
        assert other == {**one, "position": one["position"] + 1}
    assert {json.dumps(answer.json) for answer in answers if answer.status != 201} <= {json.dumps(NONE)}
    assert_books_agree(event)
    return Counter(answer.status for answer in answers)


@pytest.mark.slow
def test_150_pairs_for_200_askers(web: Api, world: Database) -> None:
    assert ask_for_pairs(world, web, pairs=150, askers=200) == {201: 150, 400: 50}


@pytest.mark.slow
def test_the_same_without_redis(web: Api, world: Database, redis_server: Servers) -> None:
    event, _ = add_hall(world, pairs_of_seats(30))
    limit(world, event, seats=2)
    world.turn_waiting_rooms_off()
    redis_server.stop_redis()
    answers = at_once([partial(web.best, new_user(), event, 2) for _ in range(40)])
    assert Counter(answer.status for answer in answers) == {201: 30, 400: 10}
    given = seats_given(answers)
    assert len(given) == len(set(given)) == 60


def test_control_without_turns_and_locks_seats_stay_unsold(web: Api, world: Database) -> None:
    text = world.one("SELECT pg_get_functiondef('choose_best_seats'::regproc)")
    turns, locks = "PERFORM pg_advisory_xact_lock(uuid_hash_extended(event, 1));", "FOR UPDATE SKIP LOCKED"
    assert turns in text
    assert locks in text
    world.rows(
        text.replace(turns, "").replace(locks, "").replace("RETURN choice;", "PERFORM pg_sleep(0.3); RETURN choice;")
    )
    try:
        statuses = ask_for_pairs(world, web, pairs=20, askers=20)
    finally:
        world.rows(text)
    assert statuses[201] < 20


def test_a_seat_that_somebody_is_picking_is_passed_over(catalogue: Database) -> None:
    api = InProcess()
    event, seats = add_rows(catalogue, "......")
    with locked_row(catalogue, "seats", seats["R-1-3"]):
        assert labels(api.best(new_user(), event, 2)) == ["R-1-1", "R-1-2"]  # 3 counts as taken: 4 and 5 leave 6 alone


def test_pickers_and_askers_together_sell_everything_once(web: Api, world: Database) -> None:
    event, seats = add_rows(world, "............", "............")
    limit(world, event, seats=1)
    world.widen_waiting_rooms()
    picks = [partial(web.reserve, new_user(), event, seat_id) for seat_id in list(seats.values())[:12]]
    asks = [partial(web.best, new_user(), event, 1) for _ in range(30)]
    answers = at_once([*picks, *asks])
    given = seats_given(answers)
    assert len(given) == len(set(given)) == 24
    assert_books_agree(event)


# --- Orphans ----------------------------------------------------------------------------------------------------------


def add_strict_rows(world: Database, *rows: str) -> tuple[str, dict[str, str]]:
    event, seats = add_rows(world, *rows)
    world.rows("UPDATE events SET forbids_orphan_seats = true WHERE id = %s", event)
    return event, seats


def pick(api: Api, event: str, seats: dict[str, str], *numbers: int, user: str = "") -> Answer:
    return api.reserve(user or new_user(), event, *(seats[f"R-1-{number}"] for number in numbers))


def test_a_choice_that_leaves_one_alone_is_refused_with_one_that_works(web: Api, catalogue: Database) -> None:
    event, seats = add_strict_rows(catalogue, "......")
    before = catalogue.everything()
    refused = pick(web, event, seats, 2, 3)
    assert (refused.status, catalogue.everything()) == (400, before)
    assert refused.json == {
        "success": False,
        "message": "한 좌석만 남게 되어 선택할 수 없습니다. 다른 좌석을 선택해주세요. (R-1-1)",
        "code": "ORPHAN_SEATS",
        "details": {
            "orphanSeats": [{"id": seats["R-1-1"], "seat_label": "R-1-1"}],
            "suggestedSeats": [{"id": seats[f"R-1-{n}"], "seat_label": f"R-1-{n}", "price": 1000} for n in (1, 2)],
        },
    }
    suggested = [seat["id"] for seat in refused.json["details"]["suggestedSeats"]]
    assert web.reserve(new_user(), event, *suggested).status == 201
    assert web.get(f"/events/{event}/sale").json["seats"] == {"forbidsOrphanSeats": True}


def test_where_it_is_not_forbidden_it_is_not_refused(web: Api, catalogue: Database) -> None:
    event, seats = add_rows(catalogue, "......")
    assert pick(web, event, seats, 2, 3).status == 201
    assert web.get(f"/events/{event}/sale").json["seats"] == {"forbidsOrphanSeats": False}


def test_a_buyer_who_has_no_other_way_is_not_refused(web: Api, catalogue: Database) -> None:
    event, seats = add_strict_rows(catalogue, "...")
    assert pick(web, event, seats, 1, 2).status == 201  # either way one is left
    event, seats = add_strict_rows(catalogue, "...xx", "..xxx")
    assert pick(web, event, seats, 1, 2).status == 400  # the next row is another way


def test_another_section_or_a_dearer_row_is_no_other_way(web: Api, catalogue: Database) -> None:
    rows = [
        {"name": "R", "rows": 1, "seatsPerRow": 3, "price": 1000},
        {"name": "R", "rows": 1, "seatsPerRow": 4, "price": 2000, "startRow": 2},
        {"name": "S", "rows": 1, "seatsPerRow": 4, "price": 1000},
    ]
    event, _ = add_hall(catalogue, rows)
    catalogue.rows("UPDATE events SET forbids_orphan_seats = true WHERE id = %s", event)
    found = catalogue.rows("SELECT id::text, seat_label FROM seats WHERE event_id = %s", event)
    seats = {row["seat_label"]: row["id"] for row in found}
    assert pick(web, event, seats, 1, 2).status == 201


def test_seats_that_stand_alone_already_do_not_count(web: Api, catalogue: Database) -> None:
    event, seats = add_strict_rows(catalogue, ".x....")
    assert pick(web, event, seats, 1).status == 201
    assert pick(web, event, seats, 3, 4).status == 201
    assert pick(web, event, seats, 5, 6).status == 201


def test_a_swap_is_judged_too(web: Api, catalogue: Database) -> None:
    event, seats = add_strict_rows(catalogue, "........")
    user = new_user()
    made = pick(web, event, seats, 1, 2, user=user).json["reservation"]["id"]

    def swap(*numbers: int) -> Answer:
        wanted = {"seatIds": [seats[f"R-1-{number}"] for number in numbers]}
        return web.post(f"/reservations/{made}/seats", wanted, user=user)

    refused = swap(2, 3)  # 1 would be alone
    assert (refused.status, refused.json["code"]) == (400, "ORPHAN_SEATS")
    assert [seat["seat_label"] for seat in refused.json["details"]["orphanSeats"]] == ["R-1-1"]
    assert swap(3, 4).status == 200
    assert swap(4).status == 200  # dropping is never refused
    assert_books_agree(event)


def test_two_choices_that_leave_one_alone_together(web: Api, world: Database) -> None:
    """Each is harmless. The second buyer is refused, as there is another way in the next row."""
    refused = 0
    for _ in range(10):
        event, seats = add_strict_rows(world, ".....", "....x")
        answers = at_once([partial(pick, web, event, seats, 1, 2), partial(pick, web, event, seats, 4, 5)])
        refused += sorted(answer.status for answer in answers) == [201, 400]
    assert refused == 10


def test_pickers_do_not_wait_for_each_other_where_orphans_are_allowed(catalogue: Database) -> None:
    event, seats = add_rows(catalogue, "......")
    somebody = Database(catalogue.url)
    somebody.rows("BEGIN")
    somebody.rows("SELECT pg_advisory_xact_lock(uuid_hash_extended(%s::uuid, 1))", event)
    api = InProcess()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(in_a_thread, partial(api.best, new_user(), event, 1))
        assert pick(api, event, seats, 1).status == 201
        assert not waiting.done()
        somebody.close()
        assert waiting.result().status == 201
