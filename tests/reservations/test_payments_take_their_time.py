"""A payment that takes its time: it keeps its hold, may fail and begin again, and may even come a little late."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.support.harness import INTERNAL, Answer, Api, Database, assert_books_agree, at_once, new_user
from tests.support.interleaving import InProcess, changed_statement, one_after_the_other
from tests.support.one_sale import Sale, add_ticket_type, call_off, cancel, in_short, pay, refund, sweep

EXPIRED = ("expired", "failed", False, "available")
PAID = ("confirmed", "completed", False, "sold")
HOLD, PAYMENT, RETRY, MOST = 300, 600, 60, 1200  # seconds: the defaults
IN_PROGRESS = (409, "PAYMENT_IN_PROGRESS")


def begin(sale: Sale) -> Answer:
    return sale.api.post(f"/internal/reservations/{sale.id}/begin-payment", headers=INTERNAL)


def fail(sale: Sale) -> Answer:
    return sale.api.post(f"/internal/reservations/{sale.id}/fail-payment", headers=INTERNAL)


def extend(sale: Sale) -> Answer:
    return sale.api.post(f"/reservations/{sale.id}/extend", user=sale.user)


def age(sale: Sale, seconds: float) -> None:
    """Lets the reservation have been made so long ago."""
    sale.world.rows(
        "UPDATE reservations SET created_at = created_at - make_interval(secs => %(s)s), expires_at = expires_at"
        " - make_interval(secs => %(s)s), held_until = held_until - make_interval(secs => %(s)s), payment_began_at ="
        " payment_began_at - make_interval(secs => %(s)s), deadline_before_payment = deadline_before_payment"
        " - make_interval(secs => %(s)s) WHERE id = %(id)s".replace("%(s)s", str(seconds)).replace("%(id)s", "%s"),
        sale.id,
    )


def left(sale: Sale) -> int:
    """Seconds to the deadline, as far as the database knows."""
    return round(sale.world.one("SELECT extract(epoch FROM deadline - now())::float FROM reservations WHERE id = %s",
                                sale.id))  # fmt: skip


def told(answer: Answer) -> tuple[int, int, bool]:
    """Seconds to the deadline and to the latest one, and whether somebody is paying, as the response says."""
    assert answer.status == 200, answer.json
    found, now = answer.json["reservation"], datetime.now(UTC)
    assert found["status"] == "pending"
    return (*(round((datetime.fromisoformat(found[name]) - now).total_seconds())
              for name in ("expiresAt", "latestExpiresAt")), found["isBeingPaid"])  # fmt: skip


@pytest.fixture(params=["seat", "tickets"])
def sale(request: pytest.FixtureRequest, web: Api, catalogue: Database) -> Sale:
    return Sale(web, catalogue, request.param).begin("pending")


def test_a_payment_that_has_begun_keeps_its_hold_and_can_be_said_again(sale: Sale) -> None:
    assert told(begin(sale)) == (PAYMENT, MOST, True)
    age(sale, 200)
    again = begin(sale)
    assert told(again) == (PAYMENT - 200, MOST - 200, True)
    assert again.json["reservation"]["totalAmount"] == sale.amount
    assert left(sale) == PAYMENT - 200
    age(sale, 250)  # its own deadline is long over
    sweep_all(sale)
    assert sale.end[0] == "pending"
    if sale.kind == "seat":
        assert in_short(sale.api.reserve(new_user(), sale.event, sale.place)) == (
            400,
            "이미 예약된 좌석입니다. (R-1-1)",
        )
    assert pay(sale) == 200
    assert sale.end[:2] == PAID[:2]
    assert in_short(begin(sale)) == in_short(fail(sale)) == (409, "ALREADY_PAID")
    assert_books_agree(sale.event)


def test_a_hold_that_is_being_paid_is_not_cancelled(sale: Sale) -> None:
    begin(sale)
    assert cancel(sale) == IN_PROGRESS
    from reservations.errors import PaymentInProgress
    from reservations.services import cancel_reservation

    with pytest.raises(PaymentInProgress):
        cancel_reservation(user_id=sale.user, reservation_id=sale.id, is_by_staff=True)
    assert sale.end[0] == "pending"
    fail(sale)
    assert cancel(sale) == 200


def test_but_with_its_event(sale: Sale) -> None:
    begin(sale)
    assert call_off(sale) == 1
    assert in_short(begin(sale)) == (409, "RESERVATION_CANCELLED")
    assert pay(sale) == (409, "RESERVATION_CANCELLED")
    assert sale.end == ("cancelled", "refunded", False, "available")


def test_a_payment_that_failed_leaves_time_for_another_card(sale: Sale) -> None:
    begin(sale)
    assert told(fail(sale)) == (HOLD, MOST, False)  # the deadline that the buyer was told stays
    assert told(fail(sale)) == (HOLD, MOST, False)
    begin(sale)
    age(sale, 280)
    assert told(fail(sale)) == (RETRY, MOST - 280, False)
    age(sale, 30)
    assert told(fail(sale))[0] == RETRY - 30
    assert told(begin(sale)) == (PAYMENT, MOST - 310, True)
    assert pay(sale) == 200


def test_a_payment_of_which_nothing_is_heard_ends_with_its_time(sale: Sale) -> None:
    begin(sale)
    age(sale, PAYMENT + 61)
    assert in_short(begin(sale)) == in_short(fail(sale)) == (409, "RESERVATION_EXPIRED")
    sweep_all(sale)
    assert sale.end == EXPIRED
    assert in_short(begin(sale)) == (409, "RESERVATION_EXPIRED")
    assert begin(sale).headers["reservation-status"] == "expired"


def test_attempts_and_extensions_share_one_limit(sale: Sale) -> None:
    assert told(extend(sale)) == (HOLD, MOST, False)
    age(sale, 250)
    assert told(extend(sale)) == (HOLD, MOST - 250, False)
    begin(sale)
    age(sale, 500)
    assert told(begin(sale)) == (100, MOST - 750, True)
    assert told(extend(sale)) == (HOLD, MOST - 750, True)
    assert told(fail(sale)) == (HOLD, MOST - 750, False)
    age(sale, 250)
    assert told(begin(sale)) == (200, 200, True)
    assert told(fail(sale)) == (RETRY, 200, False)
    begin(sale)
    assert told(extend(sale)) == (200, 200, True)  # counts when the payment fails
    assert in_short(extend(sale)) == (409, "HOLD_LIMIT_REACHED")
    assert told(fail(sale)) == (200, 200, False)
    age(sale, 50)
    assert told(begin(sale)) == (150, 150, True)
    assert in_short(extend(sale)) == (409, "HOLD_LIMIT_REACHED")
    age(sale, 151)
    assert in_short(extend(sale)) == (400, "이미 만료된 예매입니다.")


def test_only_a_pending_reservation_of_ones_own_is_extended(sale: Sale) -> None:
    was = left(sale)
    other = sale.api.post(f"/reservations/{sale.id}/extend", user=new_user())
    assert in_short(other) == (404, "예매 내역을 찾을 수 없습니다.")
    assert sale.api.post(f"/reservations/{sale.id}/extend").status == 401
    assert left(sale) == pytest.approx(was, abs=1)
    assert pay(sale) == 200
    assert in_short(extend(sale)) == (409, "ALREADY_PAID")
    assert cancel(sale) == 200
    assert in_short(extend(sale)) == (400, "이미 취소된 예매입니다.")


def test_only_the_payment_service_begins_a_payment(sale: Sale) -> None:
    for path in ("begin-payment", "fail-payment"):
        assert sale.api.post(f"/internal/reservations/{sale.id}/{path}", user=sale.user).status == 403
        unknown = sale.api.post(f"/internal/reservations/{new_user()}/{path}", headers=INTERNAL)
        assert in_short(unknown) == (404, "예매 내역을 찾을 수 없습니다.")
        assert sale.api.post(f"/internal/reservations/1/{path}", headers=INTERNAL).status == 400


# --- Late ---------------------------------------------------------------------------------------------------------------


def late(sale: Sale, seconds: float = 30) -> Sale:
    """Its deadline was so long ago."""
    column = "expires_at" if sale.kind == "seat" else "held_until"
    sale.world.rows(f"UPDATE reservations SET {column} = now() - make_interval(secs => %s) WHERE id = %s",
                    seconds, sale.id)  # fmt: skip
    return sale


def refunds(sale: Sale) -> list[tuple[Any, ...]]:
    rows = sale.world.rows("SELECT payment_id, amount, reason, done_at IS NOT NULL AS done FROM refunds"
                           " WHERE reservation_id = %s ORDER BY due_at", sale.id)  # fmt: skip
    return [tuple(row.values()) for row in rows]


def sweep_all(sale: Sale) -> None:
    """Also the holds that other tests have left."""
    while sweep(sale):
        pass


@pytest.mark.parametrize("is_swept", [False, True])
def test_a_late_payment_is_accepted_if_its_places_are_free(sale: Sale, is_swept: bool) -> None:
    late(sale)
    if is_swept:
        sweep_all(sale)
        assert sale.end == EXPIRED
    payment = new_user()
    assert pay(sale, payment) == pay(sale, payment) == 200
    assert sale.end[:2] == PAID[:2]
    if sale.kind == "seat":
        assert sale.end == PAID
    else:
        shown = sale.api.get(f"/tickets/availability/{sale.place}").json
        assert (shown.get("ticketType", shown))["available_quantity"] == 7
    assert refunds(sale) == []
    assert_books_agree(sale.event)


def test_but_not_if_they_are_taken(sale: Sale) -> None:
    late(sale)
    sweep_all(sale)
    if sale.kind == "seat":
        assert sale.api.reserve(new_user(), sale.event, sale.place).status == 201
    else:
        assert sale.api.buy(new_user(), sale.event, **{sale.place: 8}).status == 201
    was = sale.world.everything()
    assert pay(sale, "p-late" + sale.id) == (409, "RESERVATION_EXPIRED")
    assert sale.world.everything() == was
    assert refunds(sale) == [("p-late" + sale.id, sale.amount, "late_payment", False)]
    assert pay(sale, "p-late" + sale.id) == (409, "RESERVATION_EXPIRED")
    assert len(refunds(sale)) == 1
    assert_books_agree(sale.event)


@pytest.mark.parametrize(
    "change",
    ["sale_end_date = now() - interval '1 s'", "event_date = now() - interval '1 s'", "status = 'cancelled'"],
)
def test_nor_if_the_event_is_no_longer_on_sale(sale: Sale, change: str) -> None:
    late(sale)
    sweep_all(sale)
    sale.world.rows(f"UPDATE events SET {change} WHERE id = %s", sale.event)
    assert pay(sale) == (409, "RESERVATION_EXPIRED")
    assert sale.end == EXPIRED


@pytest.mark.parametrize("is_swept", [False, True])
def test_nor_if_its_buyer_has_as_much_as_allowed_without_it(sale: Sale, is_swept: bool) -> None:
    late(sale)
    if is_swept:
        sweep_all(sale)
    other = add_ticket_type(sale.world, sale.event)
    bought = sale.api.buy(sale.user, sale.event, **{other: 2}).json["reservation"]
    assert sale.api.confirm(bought["id"], 2000).status == 200
    own = 3 if sale.kind == "tickets" else 1
    most = "UPDATE events SET max_tickets_per_buyer = %s WHERE id = %s"
    sale.world.rows(most, own + 1, sale.event)
    payment = new_user()
    assert pay(sale, payment) == (409, "RESERVATION_EXPIRED")
    assert refunds(sale) == [(payment, sale.amount, "late_payment", False)]
    assert sale.end[3] != "sold"
    sale.world.rows(most, own + 2, sale.event)
    assert pay(sale, new_user()) == 200
    assert sale.end[:2] == PAID[:2]
    assert_books_agree(sale.event)


def test_nor_after_the_time_for_it(sale: Sale) -> None:
    late(sale, 60)
    assert pay(sale) == (409, "RESERVATION_EXPIRED")
    assert refunds(sale) == [(f"of {sale.id}", sale.amount, "late_payment", False)]


def test_nor_with_another_amount(sale: Sale) -> None:
    late(sale)
    sweep_all(sale)
    answer = sale.api.confirm(sale.id, sale.amount - 1, "less" + sale.id)
    assert in_short(answer) == (409, "RESERVATION_EXPIRED")
    assert refunds(sale) == [("less" + sale.id, sale.amount - 1, "late_payment", False)]
    assert sale.end == EXPIRED
    assert pay(sale) == 200  # another payment, of the right amount
    assert_books_agree(sale.event)


def test_a_seat_that_says_it_is_free_but_is_not_is_not_retaken(web: Api, catalogue: Database) -> None:
    sale = late(Sale(web, catalogue, "seat").begin("pending"))
    sweep_all(sale)
    other = web.reserve(new_user(), sale.event, sale.place).json["reservation"]["id"]
    catalogue.rows("UPDATE seats SET status = 'available' WHERE id = %s", sale.place)
    assert pay(sale) == (409, "RESERVATION_EXPIRED")
    assert catalogue.one("SELECT status FROM reservations WHERE id = %s", other) == "pending"


def test_seats_of_a_layout_that_was_replaced_are_not_retaken(web: Api, catalogue: Database) -> None:
    from uuid import UUID

    from reservations.services import change_layout

    sale = late(Sale(web, catalogue, "seat").begin("pending"))
    sweep_all(sale)
    change_layout(event_id=UUID(sale.event), layout_id=UUID("1a400000-0000-4000-8000-000000000001"))
    assert pay(sale) == (409, "RESERVATION_EXPIRED")


# --- What is owed ---------------------------------------------------------------------------------------------------------


def listed(api: Api, **query: Any) -> list[dict[str, Any]]:
    given = "&".join(f"{name}={value}" for name, value in {"limit": 500, **query}.items())
    answer = api.get(f"/internal/refunds?{given}", headers=INTERNAL)
    assert answer.status == 200, answer.json
    return answer.json["refunds"]


def done(api: Api, refund_id: str) -> Answer:
    return api.post(f"/internal/refunds/{refund_id}/done", headers=INTERNAL)


@pytest.mark.parametrize(("end", "reason"), [(cancel, "buyer"), (call_off, "event_cancelled")])
def test_what_is_owed_is_listed_until_it_is_done(sale: Sale, end: Any, reason: str) -> None:
    assert pay(sale) == 200
    assert end(sale) in (200, 1)
    (due,) = [row for row in listed(sale.api) if row["reservationId"] == sale.id]
    assert {name: due[name] for name in ("paymentId", "amount", "reason", "userId", "doneAt", "items")} == {
        "paymentId": f"of {sale.id}", "amount": sale.amount, "reason": reason, "userId": sale.user, "doneAt": None,
        "items": None,
    }  # fmt: skip
    assert sale.end[1:3] == (("completed", True) if end is call_off else ("refunded", False))
    first = done(sale.api, due["id"])
    assert (first.status, first.json["refund"]["id"]) == (200, due["id"])
    assert first.json["refund"]["doneAt"] is not None
    assert done(sale.api, due["id"]).json == first.json
    assert sale.end == ("cancelled", "refunded", False, "available")
    assert sale.id not in [row["reservationId"] for row in listed(sale.api)]
    assert refund(sale) == 200
    assert refunds(sale) == [(f"of {sale.id}", sale.amount, reason, True)]
    assert_books_agree(sale.event)


def test_a_refund_that_the_payment_service_begins_is_done(sale: Sale) -> None:
    assert pay(sale) == 200
    assert refund(sale) == refund(sale) == 200
    assert refunds(sale) == [(f"of {sale.id}", sale.amount, "payment_service", True)]


@pytest.mark.parametrize("end", [cancel, call_off])
def test_it_settles_what_somebody_else_has_caused(sale: Sale, end: Any) -> None:
    assert pay(sale) == 200
    end(sale)
    assert refund(sale) == 200
    ((_, amount, _, is_done),) = refunds(sale)
    assert (amount, is_done) == (sale.amount, True)
    assert sale.end == ("cancelled", "refunded", False, "available")


def test_nothing_is_owed_for_what_was_not_paid(sale: Sale) -> None:
    assert cancel(sale) == 200
    assert refunds(sale) == []


def test_every_payment_that_buys_nothing_is_owed_once(web: Api, catalogue: Database) -> None:
    sale, other = (Sale(web, catalogue, "seat").begin("pending") for _ in range(2))
    wrong, second = f"wrong {sale.id}", f"second {sale.id}"
    assert in_short(web.confirm(sale.id, 999, wrong)) == (409, "AMOUNT_MISMATCH")
    assert in_short(web.confirm(other.id, 1000, wrong)) == (409, "PAYMENT_ID_USED")  # that money is owed already
    assert pay(sale) == 200
    assert in_short(web.confirm(other.id, 1000, f"of {sale.id}")) == (409, "PAYMENT_ID_USED")  # that has bought a seat
    assert pay(sale, second) == (409, "ALREADY_PAID")
    assert cancel(other) == 200
    assert pay(other) == (409, "RESERVATION_CANCELLED")
    assert refunds(sale) == [(wrong, 999, "payment_refused", False), (second, 1000, "payment_refused", False)]
    assert refunds(other) == [(f"of {other.id}", 1000, "payment_refused", False)]
    assert_books_agree(sale.event, other.event)


def test_one_payment_that_is_refused_for_two_reservations_at_once_is_owed_once(web: Api, catalogue: Database) -> None:
    for _ in range(20):
        sales, payment = [Sale(web, catalogue, "seat").begin("due") for _ in range(4)], new_user()
        answers = at_once([partial(pay, sale, payment) for sale in sales])
        assert {answer[0] for answer in answers} == {409}
        assert catalogue.one("SELECT count(*) FROM refunds WHERE payment_id = %s", payment) == 1


def test_a_payment_that_buys_one_of_two_at_once_is_not_owed(web: Api, catalogue: Database) -> None:
    for _ in range(20):
        due, sale = Sale(web, catalogue, "seat").begin("due"), Sale(web, catalogue, "seat").begin("pending")
        payment = new_user()
        at_once([partial(pay, due, payment), partial(pay, sale, payment)])
        is_sold = sale.end[0] == "confirmed"
        owed = catalogue.one("SELECT count(*) FROM refunds WHERE payment_id = %s", payment)
        assert owed == (0 if is_sold else 1)
        assert_books_agree(sale.event, due.event)


def test_the_list_is_read_page_by_page(web: Api, catalogue: Database) -> None:
    sales = [Sale(web, catalogue, "seat").begin("paid") for _ in range(3)]
    for sale in sales:
        cancel(sale)
    everything = [row["id"] for row in listed(web)]
    found: list[str] = []
    while True:
        after = f"&after={found[-1]}" if found else ""
        page = web.get(f"/internal/refunds?limit=2{after}", headers=INTERNAL).json
        found += [row["id"] for row in page["refunds"]]
        if not page["hasMore"]:
            break
    assert found == everything
    assert len(found) >= 3
    assert web.get("/internal/refunds").status == 403
    assert in_short(web.get(f"/internal/refunds?after={new_user()}", headers=INTERNAL)) == (
        404, "환불 내역을 찾을 수 없습니다.",
    )  # fmt: skip
    assert done(web, new_user()).status == 404
    assert web.get("/internal/refunds?limit=0", headers=INTERNAL).status == 400


# --- Until when a paid reservation may be cancelled ----------------------------------------------------------------------

CLOSED = (400, "CANCELLATION_CLOSED")


def test_a_paid_reservation_may_be_cancelled_until_the_events_own_deadline(sale: Sale) -> None:
    sale.world.rows("UPDATE events SET cancellation_hours = 24, event_date = now() + interval '24 h' WHERE id = %s",
                    sale.event)  # fmt: skip
    assert pay(sale) == 200
    assert cancel(sale) == CLOSED
    assert sale.end[:2] == PAID[:2]
    assert refunds(sale) == []
    sale.world.rows("UPDATE events SET event_date = event_date + interval '1 min' WHERE id = %s", sale.event)
    assert cancel(sale) == 200


def test_but_never_after_the_event_began(sale: Sale) -> None:
    assert pay(sale) == 200
    sale.world.rows("UPDATE events SET event_date = now() WHERE id = %s", sale.event)
    assert cancel(sale) == CLOSED
    from reservations.services import cancel_reservation

    cancel_reservation(user_id=sale.user, reservation_id=sale.id, is_by_staff=True)  # the organiser may
    assert refunds(sale) == [(f"of {sale.id}", sale.amount, "organiser", False)]


def test_an_unpaid_one_whenever(sale: Sale) -> None:
    sale.world.rows("UPDATE events SET event_date = now(), cancellation_hours = 99 WHERE id = %s", sale.event)
    assert cancel(sale) == 200


def test_the_terms_are_told(catalogue: Database) -> None:
    from events.models import Event
    from reservations.selectors import payment_terms

    event = Event.objects.get(id=catalogue.add_event())
    event.event_date = datetime(2030, 6, 2, 10, tzinfo=UTC)
    terms = payment_terms(event)
    assert terms == {
        "cancellableUntil": "2030-06-02T10:00:00.000Z",
        "extension": {"seconds": HOLD, "maxHoldSeconds": MOST},
        "paymentSeconds": PAYMENT,
    }
    event.cancellation_hours = 48
    assert payment_terms(event)["cancellableUntil"] == "2030-05-31T10:00:00.000Z"
    assert event.event_date - timedelta(hours=48) == datetime(2030, 5, 31, 10, tzinfo=UTC)


# --- One after the other -------------------------------------------------------------------------------------------------


def test_a_payment_begins_before_the_hold_is_taken_over(web: Api, catalogue: Database) -> None:
    """Each waits for the reservation's row, and sees what the one before has done."""
    sale = Sale(web, catalogue, "seat").begin("pending")
    catalogue.rows("UPDATE reservations SET expires_at = now() + interval '300 ms' WHERE id = %s", sale.id)

    def take_over() -> Any:
        from tests.support.harness import wait_until

        wait_until(lambda: catalogue_time(catalogue, sale), seconds=3)
        return in_short(web.reserve(new_user(), sale.event, sale.place))

    begun, taken = one_after_the_other(catalogue, ("reservations", sale.id), partial(begin, sale), take_over)
    assert (begun.status, taken) == (200, (400, "이미 예약된 좌석입니다. (R-1-1)"))
    assert pay(sale) == 200


def catalogue_time(world: Database, sale: Sale) -> bool:
    return bool(world.one("SELECT deadline <= now() FROM reservations WHERE id = %s", sale.id))


def taken_and_paid(sale: Sale) -> list[Any]:
    """Another buyer takes all that there is, and then the late payment comes; both wait for the places."""
    sweep_all(late(sale))
    assert sale.end == EXPIRED

    def take() -> int:
        if sale.kind == "seat":
            return sale.api.reserve(new_user(), sale.event, sale.place).status
        return sale.api.buy(new_user(), sale.event, **{sale.place: 10}).status

    return one_after_the_other(sale.world, sale.held_at, take, partial(pay, sale))


def test_a_late_payment_that_waits_for_the_next_buyer_is_refused(sale: Sale) -> None:
    assert taken_and_paid(sale) == [201, (409, "RESERVATION_EXPIRED")]
    assert refunds(sale) == [(f"of {sale.id}", sale.amount, "late_payment", False)]
    assert_books_agree(sale.event)


def test_control_without_its_lock_a_late_payment_sells_what_another_has(
    catalogue: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = Sale(InProcess(), catalogue, "tickets").begin("pending")
    confirming = "reservations.services.confirming"
    with changed_statement(monkeypatch, confirming, "_CONFIRM", "ORDER BY t.id FOR UPDATE OF t", "ORDER BY t.id"):
        assert taken_and_paid(sale) == [201, 200]  # thirteen of ten
    with pytest.raises(AssertionError, match="stock_differs"):
        assert_books_agree(sale.event)


def test_cancelling_what_a_late_payment_has_just_retaken_releases_it(sale: Sale) -> None:
    late(sale)
    sweep_all(sale)
    paid, cancelled = one_after_the_other(
        sale.world, ("reservations", sale.id), partial(pay, sale), partial(cancel, sale)
    )
    assert (paid, cancelled) == (200, 200)
    assert sale.end == ("cancelled", "refunded", False, "available")
    assert_books_agree(sale.event)


def test_refunds_of_before_the_migration_are_known(sale: Sale) -> None:
    from importlib import import_module

    world, wrong = sale.world, f"wrong {sale.id}"
    assert sale.api.confirm(sale.id, sale.amount + 1, wrong).status == 409
    assert pay(sale) == 200
    other = Sale(sale.api, world, sale.kind).begin("paid")
    cancel(sale)
    call_off(other)
    expected = [refunds(sale), refunds(other)]
    assert [len(found) for found in expected] == [2, 1]
    world.rows("DELETE FROM refunds")
    world.rows("UPDATE payments SET is_first = false")
    world.rows(import_module("reservations.migrations.0007_refunds_until_now").FORWARD)
    assert [sorted(row[:3] for row in found) for found in expected] == [
        sorted(row[:3] for row in refunds(one)) for one in (sale, other)
    ]
    assert [row[3] for row in refunds(sale)] == [True, True]  # the payment service was told
    assert [row[3] for row in refunds(other)] == [False]
    assert_books_agree(sale.event, other.event)
