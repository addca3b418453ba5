"""The sale, from outside: take, pay, give back, expire. What the old service got wrong is shown impossible here."""

import re
import uuid

import pytest

from tests.support.harness import (
    HALL,
    INTERNAL,
    STANDING,
    STANDING_A,
    STANDING_B,
    UPCOMING,
    Api,
    Database,
    new_user,
    running_web,
    seat,
)

SEAT = seat(1, 1)
SEATS_OF_HALL = [seat(1, n) for n in range(1, 11)]


@pytest.fixture
def api(web: Api, world: Database) -> Api:
    return web


def owner(world: Database, seat_id: str) -> list[str]:
    """The users with a live reservation of the seat."""
    rows = world.rows(
        "SELECT r.user_id::text FROM reservations r JOIN reservation_items i ON i.reservation_id = r.id"
        " WHERE i.seat_id = %s AND r.status IN ('pending', 'confirmed')",
        seat_id,
    )
    return [row["user_id"] for row in rows]


def stock(world: Database, type_id: str = STANDING_A) -> int:
    return world.one("SELECT available_quantity FROM ticket_types WHERE id = %s", type_id)


def refused(answer, status: int, text: str) -> None:
    assert answer.status == status
    assert text in (answer.json.get("message") or answer.json.get("error"))


# --- The journey ------------------------------------------------------------------------------------------------------


def test_a_seat_is_taken_paid_and_sold(api: Api, world: Database) -> None:
    user = new_user()
    before = api.get(f"/seats/events/{HALL}")
    sale = api.reserve(user, HALL, SEAT)
    assert sale.status == 201
    reservation = sale.json["reservation"]
    assert re.fullmatch(r"TK\d{13}[A-Z0-9]{5}", reservation["reservationNumber"])
    assert reservation["totalAmount"] == 150_000
    assert api.seat_status(HALL, SEAT) == "locked"
    after = api.get(f"/seats/events/{HALL}")
    assert int(after.headers["seat-map-version"]) > int(before.headers["seat-map-version"])

    paid = api.confirm(reservation["id"], 150_000)
    assert (paid.status, paid.json["reservation"]["status"]) == (200, "confirmed")
    assert api.seat_status(HALL, SEAT) == "sold"
    shown = api.get(f"/reservations/{reservation['id']}", user=user).json["reservation"]
    assert (shown["status"], shown["payment_status"], shown["payment_method"]) == ("confirmed", "completed", "card")


def test_cancelling_frees_the_seat_at_once(api: Api, world: Database) -> None:
    first, second = new_user(), new_user()
    reservation = api.reserve(first, HALL, SEAT).json["reservation"]["id"]
    refused(api.reserve(second, HALL, SEAT), 400, "이미 예약된 좌석입니다. (VIP-1-1)")
    assert api.cancel(first, reservation).status == 200
    assert api.seat_status(HALL, SEAT) == "available"
    assert api.reserve(second, HALL, SEAT).status == 201


def test_nobody_cancels_for_another(api: Api, world: Database) -> None:
    reservation = api.reserve(new_user(), HALL, SEAT).json["reservation"]["id"]
    before = world.everything()
    refused(api.cancel(new_user(), reservation), 400, "예매 내역을 찾을 수 없습니다.")
    assert world.everything() == before


def test_several_seats_are_taken_all_or_none(api: Api, world: Database) -> None:
    user = new_user()
    sale = api.reserve(user, HALL, seat(1, 3), seat(1, 1), seat(1, 11))
    assert sale.status == 201
    assert sale.json["reservation"]["totalAmount"] == 400_000
    assert [s["id"] for s in sale.json["reservation"]["seats"]] == [seat(1, 3), seat(1, 1), seat(1, 11)]
    before = world.everything()
    refused(api.reserve(new_user(), HALL, seat(1, 2), seat(1, 1)), 400, "(VIP-1-1)")
    assert world.everything() == before
    assert api.cancel(user, sale.json["reservation"]["id"]).status == 200
    assert world.one("SELECT count(*) FROM seats WHERE event_id = %s AND status = 'available'", HALL) == 17


def test_a_seat_of_another_event_is_not_found(api: Api, world: Database) -> None:
    before = world.everything()
    refused(api.reserve(new_user(), HALL, seat(7, 1)), 400, "좌석을 찾을 수 없습니다.")
    refused(api.reserve(new_user(), HALL, SEAT, seat(7, 1)), 400, "좌석을 찾을 수 없습니다.")
    assert world.everything() == before


def test_several_kinds_of_tickets_are_taken_all_or_none(api: Api, world: Database) -> None:
    of_another_event = "71c00000-0000-4000-8000-000000000001"
    before = world.everything()
    for wanted, why in (
        ({STANDING_A: 1, STANDING_B: 4}, "스탠딩 B 티켓이 부족합니다. (남은 수량: 3)"),
        ({STANDING_A: 1, of_another_event: 1}, "존재하지 않는 티켓입니다."),
    ):
        refused(api.buy(new_user(), STANDING, **wanted), 400, why)
    assert world.everything() == before


def test_a_hold_ends_and_may_be_taken_over_from_its_deadline_on(api: Api, world: Database) -> None:
    from reservations.services import expire_due

    for seat_id, end in (
        (SEAT, lambda: api.reserve(new_user(), HALL, SEAT).status == 201),
        (seat(1, 2), lambda: expire_due(limit=9) == 1),
    ):
        reservation = api.reserve(new_user(), HALL, seat_id).json["reservation"]["id"]
        world.rows("UPDATE reservations SET expires_at = now() WHERE id = %s", reservation)
        assert end()
        assert world.one("SELECT status FROM reservations WHERE id = %s", reservation) == "expired"


def test_an_event_may_allow_more_or_fewer_seats(api: Api, world: Database) -> None:
    world.rows("UPDATE events SET max_seats_per_reservation = 6 WHERE id = %s", HALL)
    assert api.reserve(new_user(), HALL, *SEATS_OF_HALL[:6]).status == 201
    refused(api.reserve(new_user(), HALL, *SEATS_OF_HALL[:7]), 400, "최대 6석까지 선택 가능합니다.")
    world.rows("UPDATE events SET max_seats_per_reservation = 1 WHERE id = %s", HALL)
    before = world.everything()
    refused(api.reserve(new_user(), HALL, *SEATS_OF_HALL[7:9]), 400, "최대 1석까지 선택 가능합니다.")
    assert world.everything() == before


@pytest.mark.parametrize(
    ("change", "on_sale"),
    [
        ("status = 'on_sale'", True),
        ("status = 'sold_out'", True),  # a hold past its time may be taken over
        ("status = 'upcoming'", True),  # the sale has begun; the updater is late
        ("status = 'upcoming', sale_start_date = now() + interval '1 min'", False),
        ("sale_end_date = now()", False),
        ("event_date = now() - interval '1 min'", False),
        ("status = 'ended'", True),  # its dates were wrong and are mended
        ("status = 'on_sale', sale_start_date = now() + interval '1 day'", False),  # moved while it was on sale
        ("status = 'sold_out', sale_start_date = now() + interval '1 day'", False),
        ("status = 'cancelled'", False),
    ],
)
def test_only_an_event_on_sale_sells(api: Api, world: Database, change: str, on_sale: bool) -> None:
    world.rows(f"UPDATE events SET {change} WHERE id IN (%s, %s)", HALL, STANDING)
    before = world.everything()
    by_seat, by_type = api.reserve(new_user(), HALL, SEAT), api.buy(new_user(), STANDING, **{STANDING_A: 1})
    if on_sale:
        assert (by_seat.status, by_type.status) == (201, 201)
    else:
        refused(by_seat, 400, "판매 중인 이벤트가 아닙니다.")
        refused(by_type, 400, "판매 중인 이벤트가 아닙니다.")
        assert world.everything() == before


# --- The list of failures ---------------------------------------------------------------------------------------------


def test_1_a_cancelled_reservation_can_not_be_paid(api: Api, world: Database) -> None:
    a, b = new_user(), new_user()
    first = api.reserve(a, HALL, SEAT).json["reservation"]["id"]
    assert api.cancel(a, first).status == 200
    second = api.reserve(b, HALL, SEAT).json["reservation"]["id"]
    assert api.confirm(second, 150_000).status == 200
    late = api.confirm(first, 150_000)
    assert (late.status, late.json["code"]) == (409, "RESERVATION_CANCELLED")
    assert owner(world, SEAT) == [b]


def test_2_cancelling_an_expired_reservation_frees_nothing_of_the_next_buyer(api: Api, world: Database) -> None:
    a, b, c = new_user(), new_user(), new_user()
    first = api.reserve(a, HALL, SEAT).json["reservation"]["id"]
    world.expire(first)
    second = api.reserve(b, HALL, SEAT)  # taken over, before any sweep
    assert second.status == 201
    assert api.confirm(second.json["reservation"]["id"], 150_000).status == 200
    before = world.everything()
    refused(api.cancel(a, first), 400, "이미 만료된 예매입니다.")
    refused(api.reserve(c, HALL, SEAT), 400, "이미 예약된 좌석입니다.")
    assert world.everything() == before
    assert owner(world, SEAT) == [b]
    assert api.seat_status(HALL, SEAT) == "sold"


def test_15_tickets_expire_too_and_their_stock_comes_back(api: Api, world: Database) -> None:
    from reservations.services import expire_due

    user = new_user()
    reservation = api.buy(user, STANDING, **{STANDING_A: 2, STANDING_B: 1}).json["reservation"]["id"]
    left = world.one("SELECT extract(epoch FROM deadline - now()) FROM reservations WHERE id = %s", reservation)
    assert 290 < left <= 300
    assert (stock(world, STANDING_A), stock(world, STANDING_B)) == (98, 2)
    assert expire_due(limit=100) == 0
    world.expire(reservation)
    assert expire_due(limit=100) == 1
    assert expire_due(limit=100) == 0
    assert (stock(world, STANDING_A), stock(world, STANDING_B)) == (100, 3)
    late = api.confirm(reservation, 320_000)
    assert (late.status, late.json["code"]) == (409, "RESERVATION_EXPIRED")


def test_tickets_of_an_expired_hold_are_sold_at_once(api: Api, world: Database) -> None:
    held = api.buy(new_user(), STANDING, **{STANDING_B: 3}).json["reservation"]["id"]
    refused(api.buy(new_user(), STANDING, **{STANDING_B: 1}), 400, "스탠딩 B 티켓이 부족합니다. (남은 수량: 0)")
    world.expire(held)
    assert api.buy(new_user(), STANDING, **{STANDING_B: 2}).status == 201
    assert stock(world, STANDING_B) == 1


def test_only_holds_that_are_over_are_taken_over(api: Api, world: Database) -> None:
    a, b = new_user(), new_user()
    over = api.reserve(a, HALL, SEAT).json["reservation"]["id"]
    assert api.reserve(b, HALL, seat(1, 2)).status == 201
    world.expire(over)
    refused(api.reserve(new_user(), HALL, SEAT, seat(1, 2)), 400, "이미 예약된 좌석입니다. (VIP-1-2)")
    assert owner(world, seat(1, 2)) == [b]
    over = api.buy(a, STANDING, **{STANDING_B: 1}).json["reservation"]["id"]
    assert api.buy(b, STANDING, **{STANDING_B: 2}).status == 201
    world.expire(over)
    refused(api.buy(new_user(), STANDING, **{STANDING_B: 2}), 400, "스탠딩 B 티켓이 부족합니다. (남은 수량: 1)")
    assert api.buy(new_user(), STANDING, **{STANDING_B: 1}).status == 201


# --- Paying -----------------------------------------------------------------------------------------------------------


def test_paying_is_idempotent_by_payment(api: Api, world: Database) -> None:
    reservation = api.reserve(new_user(), HALL, SEAT).json["reservation"]["id"]
    first = api.confirm(reservation, 150_000, "pay-1")
    after = world.everything()
    again = api.confirm(reservation, 150_000, "pay-1")
    assert (first.status, again.status) == (200, 200)
    assert first.json == again.json
    other = api.confirm(reservation, 150_000, "pay-2")
    assert (other.status, other.json["code"]) == (409, "ALREADY_PAID")
    dearer = api.confirm(reservation, 150_001, "pay-1")
    assert (dearer.status, dearer.json["code"]) == (409, "AMOUNT_MISMATCH")
    assert world.everything() == after


def test_what_can_not_be_paid(api: Api, world: Database) -> None:
    reservation = api.reserve(new_user(), HALL, SEAT).json["reservation"]["id"]
    other = api.reserve(new_user(), HALL, seat(1, 2)).json["reservation"]["id"]
    assert api.confirm(other, 150_000, "pay-other").status == 200
    before = world.everything()
    wrong = api.confirm(reservation, 149_999)
    assert (wrong.status, wrong.json["code"]) == (409, "AMOUNT_MISMATCH")
    used = api.confirm(reservation, 150_000, "pay-other")
    assert (used.status, used.json["code"]) == (409, "PAYMENT_ID_USED")
    assert api.confirm(str(uuid.uuid4()), 1).status == 404
    assert world.everything() == before
    world.expire(reservation)
    late = api.confirm(reservation, 150_000)
    assert (late.status, late.json["code"]) == (409, "RESERVATION_EXPIRED")
    assert world.one("SELECT status FROM seats WHERE id = %s", SEAT) == "locked"  # free for the next buyer, or a sweep


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"amount": "150000", "paymentMethod": "card", "paymentId": "p"},
        {"amount": 150_000.5, "paymentMethod": "card", "paymentId": "p"},
        {"amount": True, "paymentMethod": "card", "paymentId": "p"},
        {"amount": -1, "paymentMethod": "card", "paymentId": "p"},
        {"amount": 2**31, "paymentMethod": "card", "paymentId": "p"},
        {"amount": 150_000, "paymentMethod": "card"},
        {"amount": 150_000, "paymentMethod": "card", "paymentId": ""},
        {"amount": 150_000, "paymentMethod": "x" * 51, "paymentId": "p"},
        {"amount": 150_000, "paymentMethod": "card", "paymentId": "p\x00"},
        {"amount": 150_000, "paymentMethod": "card", "paymentId": "p" * 256},
        b"{",
    ],
)
def test_bad_payments_are_refused(api: Api, world: Database, body: object) -> None:
    reservation = api.reserve(new_user(), HALL, SEAT).json["reservation"]["id"]
    before = world.everything()
    answer = api.post(f"/internal/reservations/{reservation}/confirm", body, headers=INTERNAL)
    assert (answer.status, list(answer.json)) == (400, ["error"])
    assert world.everything() == before


@pytest.mark.parametrize("headers", [{}, {"X-Internal-Token": ""}, {"X-Internal-Token": "wrong"}])
def test_only_the_payment_service_confirms(api: Api, world: Database, headers: dict[str, str]) -> None:
    reservation = api.reserve(new_user(), HALL, SEAT).json["reservation"]["id"]
    body = {"amount": 150_000, "paymentMethod": "card", "paymentId": "p"}
    assert api.post(f"/internal/reservations/{reservation}/confirm", body, headers=headers).status == 403
    assert api.post(f"/internal/reservations/{reservation}/refund", headers=headers).status == 403
    assert world.one("SELECT status FROM reservations WHERE id = %s", reservation) == "pending"


def test_a_refund_gives_the_places_back_once(api: Api, world: Database) -> None:
    user = new_user()
    by_seat = api.reserve(user, HALL, SEAT).json["reservation"]["id"]
    by_type = api.buy(user, STANDING, **{STANDING_A: 3}).json["reservation"]["id"]
    unpaid = api.refund(by_seat)
    assert (unpaid.status, unpaid.json["code"]) == (409, "NOT_PAID")
    assert api.confirm(by_seat, 150_000).status == 200
    assert api.confirm(by_type, 360_000).status == 200
    assert [api.refund(r).status for r in (by_seat, by_type, by_seat, by_type)] == [200] * 4
    assert api.seat_status(HALL, SEAT) == "available"
    assert stock(world) == 100
    assert (
        world.rows("SELECT status, payment_status FROM reservations WHERE id IN (%s, %s)", by_seat, by_type)
        == [{"status": "cancelled", "payment_status": "refunded"}] * 2
    )
    assert api.refund(str(uuid.uuid4())).status == 404


# --- Reading what changes ---------------------------------------------------------------------------------------------


def test_what_is_read_is_never_older_than_what_was_done(api: Api, world: Database) -> None:
    def seen() -> tuple[int, int, str]:
        types = api.get(f"/events/{STANDING}").json["ticketTypes"]
        by_event = api.get(f"/tickets/event/{STANDING}").json["ticketTypes"]
        assert types == by_event
        return (
            next(t["available_quantity"] for t in types if t["id"] == STANDING_A),
            api.get(f"/tickets/availability/{STANDING_A}").json["available_quantity"],
            api.seat_status(HALL, SEAT),
        )

    user = new_user()
    assert seen() == (100, 100, "available")
    by_seat = api.reserve(user, HALL, SEAT).json["reservation"]["id"]
    by_type = api.buy(user, STANDING, **{STANDING_A: 5}).json["reservation"]["id"]
    assert seen() == (95, 95, "locked")
    api.confirm(by_seat, 150_000)
    assert seen() == (95, 95, "sold")
    api.refund(by_seat)
    api.cancel(user, by_type)
    assert seen() == (100, 100, "available")


def test_an_expired_hold_says_so(api: Api, world: Database) -> None:
    user = new_user()
    reservation = api.reserve(user, HALL, SEAT).json["reservation"]["id"]
    assert "isExpired" not in api.get(f"/seats/reservation/{reservation}", user=user).json["reservation"]
    world.expire(reservation)
    assert api.get(f"/seats/reservation/{reservation}", user=user).json["reservation"]["isExpired"] is True


def test_sold_seats_may_be_called_reserved(world: Database, database_url: str, logs) -> None:
    with running_web(
        logs / "reserved.log", DATABASE_URL=database_url, WEB_WORKERS="1", SOLD_SEAT_WIRE_VALUE="reserved"
    ) as api:
        assert api.seat_status(HALL, seat(1, 19)) == "reserved"
        assert api.seat_status(HALL, seat(1, 20)) == "locked"


# --- Idempotency-Key --------------------------------------------------------------------------------------------------


def named(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


def test_the_same_request_again_gets_the_same_answer(api: Api, world: Database) -> None:
    user = new_user()
    first = api.reserve(user, HALL, seat(1, 2), SEAT, headers=named("k1"))
    after = world.everything()
    again = api.reserve(user, HALL, seat(1, 2), SEAT, headers=named("k1"))
    assert (first.status, again.status) == (201, 201)
    assert first.json == again.json
    tickets = api.buy(user, STANDING, headers=named("k2"), **{STANDING_A: 2})
    assert api.buy(user, STANDING, headers=named("k2"), **{STANDING_A: 2}).json == tickets.json
    assert stock(world) == 98
    assert world.everything() != after
    # also when the seat has moved on meanwhile
    api.cancel(user, first.json["reservation"]["id"])
    assert api.reserve(new_user(), HALL, SEAT).status == 201
    assert api.reserve(user, HALL, seat(1, 2), SEAT, headers=named("k1")).json == first.json


def test_a_key_belongs_to_one_body_and_one_user(api: Api, world: Database) -> None:
    user = new_user()
    assert api.reserve(user, HALL, SEAT, headers=named("k")).status == 201
    before = world.everything()
    for answer in (
        api.reserve(user, HALL, seat(1, 2), headers=named("k")),
        api.buy(user, STANDING, headers=named("k"), **{STANDING_A: 1}),
    ):
        assert (answer.status, list(answer.json)) == (422, ["error"])
    assert world.everything() == before
    assert api.reserve(new_user(), HALL, seat(1, 2), headers=named("k")).status == 201


def test_a_refusal_is_repeated_too(api: Api, world: Database) -> None:
    a, b = new_user(), new_user()
    reservation = api.reserve(a, HALL, SEAT).json["reservation"]["id"]
    first = api.reserve(b, HALL, SEAT, headers=named("k"))
    api.cancel(a, reservation)
    again = api.reserve(b, HALL, SEAT, headers=named("k"))
    assert (first.status, first.json) == (again.status, again.json)
    assert api.reserve(b, HALL, SEAT, headers=named("another")).status == 201


def test_a_key_is_forgotten_after_a_day(api: Api, world: Database) -> None:
    user = new_user()
    api.reserve(user, HALL, SEAT, headers=named("k"))
    world.rows("UPDATE idempotency_keys SET created_at = now() - interval '24 hours'")
    assert api.reserve(user, HALL, seat(1, 2), headers=named("k")).status == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "한글".encode().decode("latin-1")])
def test_bad_keys_are_refused(api: Api, world: Database, key: str) -> None:
    before = world.everything()
    assert api.reserve(new_user(), HALL, SEAT, headers=named(key)).status == 400
    assert world.everything() == before


def test_an_upcoming_event_refuses_before_it_looks_at_seats(api: Api, world: Database) -> None:
    refused(api.reserve(new_user(), UPCOMING, str(uuid.uuid4())), 400, "판매 중인 이벤트가 아닙니다.")
