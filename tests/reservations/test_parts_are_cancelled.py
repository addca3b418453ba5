"""A part of a paid reservation is cancelled and refunded; the rest stays."""

from functools import partial
from typing import Any

import pytest

from tests.support.harness import Answer, Api, Database, assert_books_agree, at_once, new_user
from tests.support.interleaving import one_after_the_other
from tests.support.one_sale import LargeSale, Sale, call_off, cancel, in_short, pay, refund


@pytest.fixture(params=["seat", "tickets"])
def sale(request: pytest.FixtureRequest, web: Api, catalogue: Database) -> LargeSale:
    return LargeSale(web, catalogue, request.param).begin("paid")


def give_back(sale: Sale, *places: str, key: str | None = None, quantity: int = 1) -> Answer:
    items: list[dict[str, Any]] = [
        {"seatId": place} if sale.kind == "seat" else {"ticketTypeId": place, "quantity": quantity} for place in places
    ]
    headers = {"Idempotency-Key": key} if key else None
    return sale.api.post(f"/reservations/{sale.id}/cancel", {"items": items}, user=sale.user, headers=headers)


def refunds(sale: Sale) -> list[int]:
    rows = sale.world.rows("SELECT amount FROM refunds WHERE reservation_id = %s ORDER BY due_at", sale.id)
    return [row["amount"] for row in rows]


def what_remains(sale: Sale) -> tuple[str, str, int, int]:
    """Status, payment status, amount, and how many places."""
    (row,) = sale.world.rows(
        "SELECT status, payment_status, total_amount, (SELECT coalesce(sum(quantity), 0)::int FROM reservation_items i"
        " WHERE i.reservation_id = r.id AND is_live) AS places FROM reservations r WHERE id = %s",
        sale.id,
    )
    return tuple(row.values())


def test_a_part_is_refunded_and_the_rest_stays(sale: LargeSale) -> None:
    first = give_back(sale, sale.places[1])
    assert first.status == 200
    assert first.json == {
        "message": "예매의 일부가 취소되었습니다.",
        "refundAmount": 1000,
        "reservation": {"id": sale.id, "totalAmount": 2000},
    }
    assert what_remains(sale) == ("confirmed", "completed", 2000, 2)
    assert refunds(sale) == [1000]
    other = new_user()
    if sale.kind == "seat":
        assert sale.api.reserve(other, sale.event, sale.places[1]).status == 201  # anybody may have it now
    else:
        assert sale.api.buy(other, sale.event, **{sale.places[1]: 10}).status == 201
    assert in_short(give_back(sale, sale.places[1])) == (400, "NOT_A_PART")
    assert pay(sale) == 200  # the payment that confirmed it, again
    shown = sale.api.get(f"/reservations/{sale.id}", user=sale.user).json["reservation"]
    assert (shown["status"], shown["total_amount"], len(shown["items"])) == ("confirmed", 2000, 2)
    assert cancel(sale) == 200
    assert refunds(sale) == [1000, 2000]
    assert_books_agree(sale.event)


def test_what_was_cancelled_stands_in_the_refund(sale: LargeSale) -> None:
    assert give_back(sale, *sale.places[:2]).json["refundAmount"] == 2000
    (items,) = (row["items"] for row in sale.world.rows("SELECT items FROM refunds WHERE reservation_id = %s", sale.id))
    name = "seatId" if sale.kind == "seat" else "ticketTypeId"
    assert {item[name] for item in items} == set(sale.places[:2])
    assert {(item["quantity"], item["amount"]) for item in items} == {(1, 1000)}


def test_of_several_tickets_of_a_type_some_are_cancelled(web: Api, catalogue: Database) -> None:
    sale = Sale(web, catalogue, "tickets").begin("paid")
    assert in_short(give_back(sale, sale.place, quantity=4)) == (400, "NOT_A_PART")
    assert give_back(sale, sale.place, quantity=2).json["reservation"]["totalAmount"] == 1000
    assert catalogue.one("SELECT available_quantity FROM ticket_types WHERE id = %s", sale.place) == 9
    assert what_remains(sale) == ("confirmed", "completed", 1000, 1)
    assert_books_agree(sale.event)


def test_all_of_it_is_the_whole(sale: LargeSale) -> None:
    assert give_back(sale, *sale.places).json == {
        "message": "예매가 취소되었습니다.",
        "refundAmount": 3000,
        "reservation": {"id": sale.id, "totalAmount": 0},
    }
    assert what_remains(sale)[:2] == ("cancelled", "refunded")
    assert refunds(sale) == [3000]
    assert in_short(give_back(sale, sale.places[0])) == (400, "이미 취소된 예매입니다.")
    assert_books_agree(sale.event)


def test_a_repeated_request_with_a_key_cancels_nothing_more(web: Api, catalogue: Database) -> None:
    sale = Sale(web, catalogue, "tickets").begin("paid")
    answers = at_once([partial(give_back, sale, sale.place, key="k")] * 4)
    assert [(answer.status, answer.json) for answer in answers] == [(200, answers[0].json)] * 4
    assert give_back(sale, sale.place, key="k").json == answers[0].json
    assert in_short(give_back(sale, sale.place, key="k", quantity=2))[0] == 422
    assert what_remains(sale) == ("confirmed", "completed", 2000, 2)
    assert refunds(sale) == [1000]


def test_what_is_no_part_is_refused_and_nothing_happens(sale: LargeSale, web: Api) -> None:
    other = LargeSale(web, sale.world, sale.kind).begin("paid")
    was = sale.world.everything()
    assert in_short(give_back(sale, sale.places[0], other.places[0])) == (400, "NOT_A_PART")
    path = f"/reservations/{sale.id}/cancel"
    for items in ([], {}, None, "all", [1], [{}], [{"seatId": 1}], [{"ticketTypeId": sale.places[0]}],
                  [{"ticketTypeId": sale.places[0], "quantity": 0}], [{"seatId": sale.places[0]}] * 101):  # fmt: skip
        answer = web.post(path, {"items": items}, user=sale.user)
        assert (answer.status, "error" in answer.json) == (400, True), items
    assert in_short(web.post(path, {"items": [{"seatId": sale.places[0]}]}, user=new_user())) == (
        400, "예매 내역을 찾을 수 없습니다.",
    )  # fmt: skip
    assert sale.world.everything() == was
    assert refunds(sale) == []


def test_only_of_a_paid_reservation_and_in_time(web: Api, catalogue: Database) -> None:
    for kind in ("seat", "tickets"):
        sale = LargeSale(web, catalogue, kind).begin("pending")
        assert in_short(give_back(sale, sale.places[0])) == (409, "NOT_PAID")
        assert pay(sale) == 200
        catalogue.rows("UPDATE events SET event_date = now() WHERE id = %s", sale.event)
        assert in_short(give_back(sale, sale.places[0])) == (400, "CANCELLATION_CLOSED")
        due = LargeSale(web, catalogue, kind).begin("due")
        assert in_short(give_back(due, due.places[0])) == (400, "이미 만료된 예매입니다.")


def test_a_seat_in_another_state_is_not_released(web: Api, catalogue: Database) -> None:
    sale = LargeSale(web, catalogue, "seat").begin("paid")
    catalogue.rows("UPDATE seats SET status = 'locked' WHERE id = %s", sale.places[0])
    assert give_back(sale, sale.places[0]).status == 409
    assert what_remains(sale) == ("confirmed", "completed", 3000, 3)
    assert give_back(sale, sale.places[1]).status == 200


@pytest.mark.parametrize("end", [cancel, call_off, refund])
def test_the_whole_after_a_part_releases_and_owes_only_the_rest(sale: LargeSale, end: Any) -> None:
    """The second waits for the first, and has looked at the items before."""
    part, _ = one_after_the_other(
        sale.world, ("reservations", sale.id), partial(give_back, sale, sale.places[0]), partial(end, sale)
    )
    assert part.status == 200
    assert sum(refunds(sale)) == 3000
    stock = "SELECT sum(available_quantity) = 30 FROM ticket_types WHERE event_id = %s"
    seats = "SELECT bool_and(status = 'available') FROM seats WHERE event_id = %s"
    assert sale.world.one(seats if sale.kind == "seat" else stock, sale.event)
    assert_books_agree(sale.event)


def test_parts_at_once_add_up(sale: LargeSale) -> None:
    answers = at_once([partial(give_back, sale, place) for place in [*sale.places, *sale.places]])
    assert sorted(answer.status for answer in answers) == [200] * 3 + [400] * 3
    assert sum(refunds(sale)) == 3000
    assert what_remains(sale)[0] == "cancelled"
    assert_books_agree(sale.event)
