"""A payment keeps the response that it got first, whatever happened since. A header tells the reservation's status now."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.support.harness import INTERNAL, Answer, Api, Database, at_once, new_user
from tests.support.interleaving import one_after_the_other
from tests.support.one_sale import Sale, call_off, cancel, refund, sweep

CANCELLED, EXPIRED = "RESERVATION_CANCELLED", "RESERVATION_EXPIRED"


def pay(sale: Sale, payment: str, amount: int | None = None) -> Answer:
    return sale.api.confirm(sale.id, sale.amount if amount is None else amount, payment)


def shown(answer: Answer) -> tuple[int, Any, str]:
    return answer.status, answer.json, answer.headers["reservation-status"]


def refused(answer: Answer) -> tuple[int, str, str]:
    return answer.status, answer.json["code"], answer.headers["reservation-status"]


@pytest.fixture(params=["seat", "tickets"])
def sale(request: pytest.FixtureRequest, web: Api, catalogue: Database) -> Sale:
    return Sale(web, catalogue, request.param).begin("pending")


@pytest.mark.parametrize("end", [refund, cancel, call_off])
def test_a_payment_that_has_confirmed_gets_its_response_again_when_all_is_over(
    sale: Sale, end: Callable[[Sale], Any]
) -> None:
    payment = new_user()
    first = pay(sale, payment)
    assert shown(first)[::2] == (200, "confirmed")
    assert first.json["reservation"]["status"] == "confirmed"
    assert end(sale) in (200, 1)
    before = sale.end
    assert shown(pay(sale, payment)) == (200, first.json, "cancelled")
    assert refused(pay(sale, payment, sale.amount + 1)) == (409, "AMOUNT_MISMATCH", "cancelled")
    assert refused(pay(sale, new_user())) == (409, CANCELLED, "cancelled")
    assert sale.end == before


def test_a_payment_that_was_refused_never_confirms_later(sale: Sale) -> None:
    payment = new_user()
    first = pay(sale, payment, sale.amount - 1)
    assert refused(first) == (409, "AMOUNT_MISMATCH", "pending")
    for amount in (sale.amount, sale.amount - 1, sale.amount + 1):
        assert shown(pay(sale, payment, amount)) == (409, first.json, "pending")
    assert pay(sale, new_user()).status == 200
    assert shown(pay(sale, payment, sale.amount)) == (409, first.json, "confirmed")


def test_a_second_payment_is_refused_as_at_first_after_the_first_was_refunded(sale: Sale) -> None:
    one, other = new_user(), new_user()
    assert pay(sale, one).status == 200
    first = pay(sale, other)
    assert refused(first) == (409, "ALREADY_PAID", "confirmed")
    assert refund(sale) == 200
    assert shown(pay(sale, other)) == (409, first.json, "cancelled")


def test_a_payment_that_came_too_late_stays_so(sale: Sale) -> None:
    late, later = new_user(), new_user()
    sale.world.expire(sale.id)
    first = pay(sale, late)
    assert refused(first) == (409, EXPIRED, "expired")  # though nobody has swept it
    assert sweep(sale) >= 1  # and what other tests have left
    assert shown(pay(sale, late)) == (409, first.json, "expired")
    assert refused(pay(sale, later)) == (409, EXPIRED, "expired")


def test_a_late_payment_is_not_accepted_when_the_deadline_is_moved(sale: Sale) -> None:
    late = new_user()
    sale.world.expire(sale.id)
    first = pay(sale, late)
    column = "expires_at" if sale.kind == "seat" else "held_until"
    sale.world.rows(f"UPDATE reservations SET {column} = now() + interval '1 h' WHERE id = %s", sale.id)
    assert shown(pay(sale, late)) == (409, first.json, "pending")
    assert pay(sale, new_user()).status == 200


def test_a_payment_belongs_to_the_reservation_that_it_came_for_first(sale: Sale) -> None:
    other, payment = Sale(sale.api, sale.world, "seat").begin("pending"), new_user()
    assert pay(sale, payment, 1).status == 409
    assert refused(pay(other, payment)) == (409, "PAYMENT_ID_USED", "pending")
    paid = new_user()
    assert pay(sale, paid).status == 200
    assert refused(pay(other, paid)) == (409, "PAYMENT_ID_USED", "pending")
    assert refund(sale) == 200
    assert refused(pay(other, paid)) == (409, "PAYMENT_ID_USED", "pending")
    assert pay(other, new_user()).status == 200


def test_the_response_is_kept_as_problem_details_too(sale: Sale) -> None:
    body = {"amount": 1, "paymentMethod": "card", "paymentId": new_user()}
    as_problem = {**INTERNAL, "Accept": "application/problem+json"}
    path = f"/internal/reservations/{sale.id}/confirm"
    first = sale.api.post(path, body, headers=as_problem)
    assert first.json["code"] == "AMOUNT_MISMATCH"
    assert cancel(sale) == 200
    assert shown(sale.api.post(path, body, headers=as_problem)) == (409, first.json, "cancelled")


def test_a_reservation_that_another_writer_has_confirmed_is_answered_as_paid(web: Api, catalogue: Database) -> None:
    sale, payment = Sale(web, catalogue, "tickets").begin("pending"), new_user()
    catalogue.rows(
        "UPDATE reservations SET status = 'confirmed', payment_status = 'completed', payment_id = %s WHERE id = %s",
        payment,
        sale.id,
    )
    assert pay(sale, payment).status == 200
    assert refund(sale) == 200
    assert shown(pay(sale, payment))[::2] == (200, "cancelled")


def test_the_same_payment_at_once_is_answered_the_same(web: Api, catalogue: Database) -> None:
    for trial in range(20):
        sale, payment = Sale(web, catalogue, "seat").begin("pending"), new_user()
        amounts = [1000] * 4 if trial % 2 else [1000, 999] * 2
        answers = at_once([partial(pay, sale, payment, amount) for amount in amounts])
        again = [pay(sale, payment, amount) for amount in amounts]
        assert [(a.status, a.json) for a in again] == [(a.status, a.json) for a in answers]
        is_paid = catalogue.one("SELECT status FROM reservations WHERE id = %s", sale.id) == "confirmed"
        assert {a.status for a in answers if a.status == 200} == ({200} if is_paid else set())


def test_of_a_wrong_and_a_right_amount_by_one_payment_only_the_first_counts(web: Api, catalogue: Database) -> None:
    """Both have looked before either has written."""
    sale, payment = Sale(web, catalogue, "seat").begin("pending"), new_user()
    calls = [partial(pay, sale, payment, 999), partial(pay, sale, payment, 1000)]
    wrong, right = one_after_the_other(catalogue, ("reservations", sale.id), *calls)
    status = catalogue.one("SELECT status FROM reservations WHERE id = %s", sale.id)
    assert (wrong.status, right.status, status) in ((409, 409, "pending"), (409, 200, "confirmed"))
    assert (pay(sale, payment, 999).json, pay(sale, payment, 1000).json) == (wrong.json, right.json)


def test_one_payment_for_two_reservations_at_once_confirms_one(web: Api, catalogue: Database) -> None:
    for _ in range(20):
        sales, payment = [Sale(web, catalogue, "seat").begin("pending") for _ in range(2)], new_user()
        answers = at_once([partial(pay, sale, payment) for sale in sales])
        assert sorted(answer.status for answer in answers) == [200, 409]
        assert {answer.json.get("code") for answer in answers} == {None, "PAYMENT_ID_USED"}
        assert [pay(sale, payment).json for sale in sales] == [answer.json for answer in answers]


def test_an_amount_that_staff_mistyped_is_no_answer_to_the_payment_service(web: Api, catalogue: Database) -> None:
    from uuid import UUID

    from reservations.errors import AmountDiffers
    from reservations.services import confirm_reservation

    sale, payment = Sale(web, catalogue, "seat").begin("pending"), new_user()
    typed = {"reservation_id": UUID(sale.id), "payment_method": "card", "payment_id": payment}
    with pytest.raises(AmountDiffers):
        confirm_reservation(**typed, amount=999, records_rejection=False)
    confirm_reservation(**typed, amount=1000, records_rejection=False)
    assert pay(sale, payment).status == 200
