"""A hold past its deadline has expired to every operation, swept or not. Ending it releases only what it holds."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from tests.support.harness import Api, Database, assert_books_agree, new_user
from tests.support.one_sale import Sale, call_off, cancel, pay, refund, sweep

SMALL_HALL = "1a400000-0000-4000-8000-000000000001"
EXPIRED_BEFORE = (400, "이미 만료된 예매입니다.")
EXPIRED = ("expired", "failed", False, "available")


@pytest.fixture(params=["seat", "tickets"])
def overdue(request: pytest.FixtureRequest, web: Api, catalogue: Database) -> Sale:
    return Sale(web, catalogue, request.param).begin("due")


@pytest.mark.parametrize(("operation", "answer"), [
    (cancel, EXPIRED_BEFORE), (pay, (409, "RESERVATION_EXPIRED")), (refund, (409, "NOT_PAID")),
])  # fmt: skip
def test_an_overdue_hold_is_answered_as_an_expired_one(
    overdue: Sale, operation: Callable[[Sale], Any], answer: Any
) -> None:
    assert operation(overdue) == answer
    assert overdue.end[:2] == ("pending", "pending")
    shown = overdue.api.get(f"/seats/reservation/{overdue.id}", user=overdue.user).json["reservation"]
    assert (shown["status"], shown["isExpired"]) == ("pending", True)
    assert sweep(overdue) >= 1  # and what other tests have left
    assert overdue.end == EXPIRED
    assert operation(overdue) == answer


def test_a_cancelled_event_expires_it(overdue: Sale) -> None:
    assert call_off(overdue) == 1
    assert overdue.end == EXPIRED
    assert_books_agree(overdue.event)


def test_it_does_not_stand_in_the_way_of_an_organiser(overdue: Sale) -> None:
    from reservations.services import change_layout, change_total

    if overdue.kind == "seat":
        change_layout(event_id=UUID(overdue.event), layout_id=UUID(SMALL_HALL))
        assert overdue.world.one("SELECT count(*) FROM seats WHERE event_id = %s", overdue.event) == 20
    else:
        change_total(ticket_type_id=UUID(overdue.place), total=2)
        (stock,) = overdue.world.rows("SELECT available_quantity FROM ticket_types WHERE id = %s", overdue.place)
        assert stock == {"available_quantity": 2}
    assert overdue.world.one("SELECT status FROM reservations WHERE id = %s", overdue.id) == "expired"
    assert_books_agree(overdue.event)


def test_a_hold_in_time_does(web: Api, catalogue: Database) -> None:
    from reservations.errors import LayoutInUse, StockIsSold
    from reservations.services import change_layout, change_total

    of_seat, of_tickets = (Sale(web, catalogue, kind).begin("pending") for kind in ("seat", "tickets"))
    with pytest.raises(LayoutInUse):
        change_layout(event_id=UUID(of_seat.event), layout_id=UUID(SMALL_HALL))
    with pytest.raises(StockIsSold):
        change_total(ticket_type_id=UUID(of_tickets.place), total=2)
    assert cancel(of_seat) == cancel(of_tickets) == 200


# --- A seat in another state ----------------------------------------------------------------------------------------------

OTHER_STATES = [("pending", "sold", cancel), ("paid", "locked", cancel), ("paid", "locked", refund)]


@pytest.mark.parametrize(("before", "state", "operation"), OTHER_STATES)
def test_a_seat_in_another_state_is_not_released(
    web: Api, catalogue: Database, before: str, state: str, operation: Callable[[Sale], Any]
) -> None:
    sale = Sale(web, catalogue, "seat").begin(before)
    catalogue.rows("UPDATE seats SET status = %s WHERE id = %s", state, sale.place)
    was = sale.end
    status, message = operation(sale)
    assert (status, message.split(".")[0]) == (409, "좌석의 상태가 예매와 일치하지 않아 처리할 수 없습니다")
    assert sale.end == was
    assert web.reserve(new_user(), sale.event, sale.place).status == 400


def test_a_seat_that_is_available_again_does_not_keep_its_reservation(web: Api, catalogue: Database) -> None:
    sale = Sale(web, catalogue, "seat").begin("paid")
    catalogue.rows("UPDATE seats SET status = 'available' WHERE id = %s", sale.place)
    assert cancel(sale) == 200
    assert sale.end == ("cancelled", "refunded", False, "available")


def test_the_sweep_and_a_cancelled_event_go_on_past_a_sold_seat_of_a_hold(
    web: Api, catalogue: Database, caplog: pytest.LogCaptureFixture
) -> None:
    from reservations.services import sweep as sweep_all
    from reservations.services import sweeping

    sweep_all()
    sold, other = (Sale(web, catalogue, "seat").begin("due") for _ in range(2))
    catalogue.rows("UPDATE seats SET status = 'sold' WHERE id = %s", sold.place)
    assert sweep_all()["expired"] == 1
    assert sold.id in caplog.text
    caplog.clear()
    sweep_all()
    assert sold.id not in caplog.text  # left alone for a minute
    assert (sold.end[0], sold.end[3], other.end) == ("pending", "sold", EXPIRED)
    assert web.reserve(new_user(), sold.event, sold.place).status == 400
    assert call_off(sold) == 0
    assert (sold.end[0], sold.end[3]) == ("pending", "sold")
    catalogue.rows("UPDATE seats SET status = 'locked' WHERE id = %s", sold.place)
    sweeping._batch._retry_at.clear()  # its minute is over
    assert sweep_all()["expired"] == 1
    assert sold.end == EXPIRED
