"""Of two operations on one reservation the second sees what the first has done.

Each test holds the first in the middle, at a row that somebody else has locked, until the second waits as well. So nothing
is left to chance: each pair has one outcome. The controls show what happens without the lock.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.support.harness import INTERNAL, Api, Database, new_user, wait_until
from tests.support.interleaving import InProcess, changed_statement, locked_row, one_after_the_other, waiting_statements
from tests.support.one_sale import Sale, call_off, cancel, in_short, pay, pay_otherwise, refund, sweep

pytestmark = pytest.mark.slow

CANCELLED = ("cancelled", "refunded", False, "available")
PAID = ("confirmed", "completed", False, "sold")
REFUND_DUE = ("cancelled", "completed", True, "available")
EXPIRED = ("expired", "failed", False, "available")
CANCELLED_BEFORE = (400, "이미 취소된 예매입니다.")
EXPIRED_BEFORE = (400, "이미 만료된 예매입니다.")
TOO_LATE_TO_PAY = (409, "RESERVATION_CANCELLED")

# Before; the first and its answer, the second and its answer; the end.
PAIRS = [
    ("pending", cancel, 200, cancel, CANCELLED_BEFORE, CANCELLED),
    ("pending", cancel, 200, pay, TOO_LATE_TO_PAY, CANCELLED),
    ("pending", cancel, 200, refund, (409, "NOT_PAID"), CANCELLED),
    ("pending", cancel, 200, call_off, 0, CANCELLED),
    ("pending", call_off, 1, cancel, CANCELLED_BEFORE, CANCELLED),
    ("pending", call_off, 1, pay, TOO_LATE_TO_PAY, CANCELLED),
    ("pending", call_off, 1, call_off, 0, CANCELLED),
    ("paid", cancel, 200, cancel, CANCELLED_BEFORE, CANCELLED),
    ("paid", cancel, 200, refund, 200, CANCELLED),
    ("paid", refund, 200, cancel, CANCELLED_BEFORE, CANCELLED),
    ("paid", refund, 200, refund, 200, CANCELLED),
    ("paid", refund, 200, pay, 200, CANCELLED),  # the payment that was refunded: its first response again
    ("paid", refund, 200, pay_otherwise, TOO_LATE_TO_PAY, CANCELLED),
    ("paid", refund, 200, call_off, 0, CANCELLED),
    ("paid", call_off, 1, refund, 200, CANCELLED),
    ("paid", call_off, 1, cancel, CANCELLED_BEFORE, REFUND_DUE),
    ("due", sweep, 1, pay, (409, "RESERVATION_EXPIRED"), EXPIRED),
    ("due", sweep, 1, cancel, EXPIRED_BEFORE, EXPIRED),
    ("due", sweep, 1, sweep, 0, EXPIRED),
    ("due", sweep, 1, call_off, 0, EXPIRED),
    ("due", call_off, 1, sweep, 0, EXPIRED),
]
PAIRS_OF_A_SEAT = [  # a payment changes nothing of stock, and so is not held up there
    ("pending", pay, 200, pay, 200, PAID),
    ("pending", pay, 200, pay_otherwise, (409, "ALREADY_PAID"), PAID),
    ("pending", pay, 200, cancel, 200, CANCELLED),
    ("pending", pay, 200, refund, 200, CANCELLED),
    ("pending", pay, 200, call_off, 1, REFUND_DUE),
]
ALL_PAIRS = [*(("seat", *pair) for pair in PAIRS + PAIRS_OF_A_SEAT), *(("tickets", *pair) for pair in PAIRS)]
NAMES = [f"{kind}: {before}, {one.__name__}, {other.__name__}" for kind, before, one, _, other, _, _ in ALL_PAIRS]


def both(sale: Sale, first: Callable[[Sale], Any], second: Callable[[Sale], Any]) -> list[Any]:
    return one_after_the_other(sale.world, sale.held_at, partial(first, sale), partial(second, sale))


@pytest.mark.parametrize(("kind", "before", "first", "answer", "second", "second_answer", "end"), ALL_PAIRS, ids=NAMES)
def test_the_second_of_two_operations_sees_what_the_first_has_done(
    web: Api,
    catalogue: Database,
    kind: str,
    before: str,
    first: Callable[[Sale], Any],
    answer: Any,
    second: Callable[[Sale], Any],
    second_answer: Any,
    end: tuple[str, str, bool, str],
) -> None:
    sale = Sale(web, catalogue, kind).begin(before)
    assert both(sale, first, second) == [answer, second_answer]
    assert sale.end == end


def test_a_payment_in_hand_is_not_passed_over_by_the_next_buyer(web: Api, catalogue: Database) -> None:
    """The hold is over when the next buyer comes, but somebody has begun to pay for it before."""
    sale, next_buyer = Sale(web, catalogue, "seat").begin("due"), new_user()

    def take_over() -> Any:
        return in_short(web.reserve(next_buyer, sale.event, sale.place))

    with ThreadPoolExecutor(1) as threads:
        with locked_row(catalogue, "reservations", sale.id) as payment:
            taking_over = threads.submit(take_over)
            wait_until(lambda: waiting_statements(catalogue) == 1, seconds=4)
            payment.rows(
                "UPDATE reservations SET status = 'confirmed', payment_status = 'completed' WHERE id = %s", sale.id
            )
            payment.rows("UPDATE seats SET status = 'sold' WHERE id = %s", sale.place)
            payment.rows("COMMIT")
        assert taking_over.result() == (400, "이미 예약된 좌석입니다. (R-1-1)")
    assert sale.end == PAID


def test_a_payment_in_hand_is_not_swept_away_when_its_deadline_passes(web: Api, catalogue: Database) -> None:
    sale = Sale(web, catalogue, "seat").begin("pending")
    catalogue.rows("UPDATE reservations SET expires_at = now() + interval '1.5 s' WHERE id = %s", sale.id)

    def sweep_when_it_is_due() -> Any:
        is_due = "SELECT deadline <= now() FROM reservations WHERE id = %s"
        wait_until(lambda: catalogue.one(is_due, sale.id), seconds=3)
        return sweep(sale)

    assert one_after_the_other(catalogue, sale.held_at, partial(pay, sale), sweep_when_it_is_due) == [200, 0]
    assert sale.end == PAID


def test_the_next_buyer_takes_over_before_a_payment_that_comes_too_late(web: Api, catalogue: Database) -> None:
    sale, next_buyer = Sale(web, catalogue, "seat").begin("due"), new_user()
    taken_over, paid = one_after_the_other(
        catalogue,
        ("reservations", sale.id),
        lambda: web.reserve(next_buyer, sale.event, sale.place),
        lambda: pay(sale),
    )
    assert (taken_over.status, paid) == (201, (409, "RESERVATION_EXPIRED"))
    assert sale.end == ("expired", "failed", False, "locked")
    holders = "SELECT r.user_id::text FROM reservations r JOIN reservation_items i ON i.reservation_id = r.id"
    assert catalogue.one(f"{holders} WHERE i.seat_id = %s AND i.is_live", sale.place) == next_buyer


# --- The status of an event ---------------------------------------------------------------------------------------------


def test_statuses_are_updated_around_an_event_that_somebody_is_changing(
    web: Api, catalogue: Database, redis: Any
) -> None:
    """The next sweep looks at it again. Called off meanwhile, it stays so."""
    from seats.services import update_status_of_dirty_events

    def status(event_id: str) -> str:
        return catalogue.one("SELECT status FROM events WHERE id = %s", event_id)

    for change, becomes in (("status = 'cancelled'", "cancelled"), ("title = 'e'", "ended")):
        event, other = catalogue.add_event(), catalogue.add_event()
        catalogue.rows("UPDATE events SET sale_end_date = now() WHERE id IN (%s, %s)", event, other)
        with locked_row(catalogue, "events", event) as organiser:
            response = web.post("/internal/event-status/reschedule", headers=INTERNAL)
            assert response.status == 200
            assert response.seconds < 1
            assert (status(event), status(other)) == ("on_sale", "ended")
            organiser.rows(f"UPDATE events SET {change} WHERE id = %s", event)
            organiser.rows("COMMIT")
        assert redis.sismember("events:dirty", event)
        update_status_of_dirty_events()
        assert status(event) == becomes


def test_an_event_that_is_called_off_by_two_at_once_is_told_to_be_so_once(web: Api, catalogue: Database, redis) -> None:
    sale = Sale(web, catalogue, "seat").begin("pending")
    heard = redis.pubsub(ignore_subscribe_messages=True)
    heard.subscribe(f"live:{sale.event}")
    heard.get_message(timeout=1)
    calls = [partial(call_off, sale)] * 2
    assert sorted(one_after_the_other(catalogue, ("events", sale.event), *calls)) == [0, 1]
    told = []
    while (published := heard.get_message(timeout=0.3)) is not None:
        told += [message["type"] for message in json.loads(published["data"])["messages"]]
    heard.close()
    assert sorted(told) == ["event-status-changed", "seat-released"]


# --- Controls: the same without the lock ----------------------------------------------------------------------------------


CONFIRM, RELEASE = "reservations.services.confirming", "reservations.services.releasing"
CONTROLS = {  # where the lock is; before, the first and the second, and the answer of the second
    "confirm": (CONFIRM, "_CONFIRM", "(reservation_id)s FOR UPDATE", "(reservation_id)s", "pending", cancel, pay, 200),
    "cancel": (RELEASE, "_CANCEL", "(user_id)s FOR UPDATE", "(user_id)s", "pending", cancel, cancel, 200),
    "refund": (RELEASE, "_REFUND", "(reservation_id)s FOR UPDATE", "(reservation_id)s", "paid", refund, refund, 200),
    "call off": (RELEASE, "_RELEASE_EVENT", "(limit)s FOR UPDATE", "(limit)s", "pending", cancel, call_off, 1),
    "sweep": (RELEASE, "_EXPIRE_DUE", "FOR UPDATE SKIP LOCKED", "", "due", call_off, sweep, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTROLS)
def test_control_without_its_lock_an_operation_undoes_what_another_has_done(
    catalogue: Database, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    module, statement, old, new, before, first, second, second_answer = CONTROLS[name]
    sale = Sale(InProcess(), catalogue, "tickets").begin(before)
    # Without the lock on the items, too, which alone would keep anything from being returned twice.
    with (
        changed_statement(monkeypatch, module, statement, old, new),
        changed_statement(monkeypatch, module, statement, "FOR UPDATE OF i", ""),
    ):
        assert both(sale, first, second) == [1 if first is call_off else 200, second_answer]
    if second is pay:
        assert sale.end[:2] == PAID[:2]  # though it was cancelled
    else:
        assert sale.end[3] == "{'available_quantity': 13, 'total_quantity': 13}"  # given back twice
