"""Payment against expiry, at the very moment of the deadline. Each trial ends paid and sold, or expired and free.

And whatever is paid and not sold is owed: refunds add up to payments less sales.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from tests.support.harness import INTERNAL, Api, Database, assert_books_agree, at_once, new_user
from tests.support.one_sale import LargeSale, Sale, pay, sweep

pytestmark = [pytest.mark.slow, pytest.mark.long]

TRIALS = 200


@dataclass
class Trial:
    sale: Sale
    chance: random.Random
    paid: list[tuple[str, int]] = field(default_factory=list)  # payments that were made, and their amounts

    def pay(self) -> Any:
        payment = new_user()
        self.paid.append((payment, self.sale.amount))
        return pay(self.sale, payment)

    def internal(self, what: str) -> int:
        return self.sale.api.post(f"/internal/reservations/{self.sale.id}/{what}", headers=INTERNAL).status

    def extend(self) -> int:
        return self.sale.api.post(f"/reservations/{self.sale.id}/extend", user=self.sale.user).status

    def take(self) -> int:
        """By another buyer, who wants all that there is."""
        sale, other = self.sale, new_user()
        if sale.kind == "seat":
            return sale.api.reserve(other, sale.event, sale.place).status
        return sale.api.buy(other, sale.event, **{sale.place: 10}).status

    def at(self, moment: float, call: Callable[[], Any]) -> Callable[[], Any]:
        """The call, some milliseconds before or after the moment."""
        delay = self.chance.uniform(-0.008, 0.008)

        def run() -> Any:
            time.sleep(max(0.0, moment + delay - time.monotonic()))
            return call()

        return run

    def sweep(self) -> None:
        from django.db import connection

        try:
            while sweep(self.sale):
                pass
        finally:
            connection.close()

    def end_at(self, seconds: float) -> float:
        """The deadline is so far ahead. Returns the moment of it, of this process's clock."""
        column = "expires_at" if self.sale.kind == "seat" else "held_until"
        self.sale.world.rows(
            f"UPDATE reservations SET {column} = clock_timestamp() + make_interval(secs => %s) WHERE id = %s",
            seconds,
            self.sale.id,
        )
        return time.monotonic() + seconds

    def settle(self) -> str:
        """Lets the rest of the time pass. Returns the status in the end, and checks what belongs to it."""
        sale, world = self.sale, self.sale.world
        (row,) = world.rows("SELECT status, payment_status, total_amount FROM reservations WHERE id = %s", sale.id)
        if row["status"] == "pending":  # whoever is paying is not heard of again
            world.expire(sale.id)
            self.sweep()
            (row,) = world.rows("SELECT status, payment_status, total_amount FROM reservations WHERE id = %s", sale.id)
        status = row["status"]
        of_items = "SELECT coalesce(sum(quantity), 0)::int FROM reservation_items"
        live = world.one(f"{of_items} WHERE reservation_id = %s AND is_live", sale.id)
        sold = 0
        if status == "confirmed":
            assert row["payment_status"] == "completed"
            assert live > 0
            sold = row["total_amount"]
        else:
            assert (status, row["payment_status"]) in {("expired", "failed"), ("cancelled", "refunded")}
            assert live == 0
        owed = world.one("SELECT coalesce(sum(amount), 0)::int FROM refunds WHERE reservation_id = %s", sale.id)
        assert owed == sum(amount for _, amount in self.paid) - sold
        assert_books_agree(sale.event)
        return status


def trials(web: Api, world: Database, *, large: bool = False) -> list[Trial]:
    kinds = ["seat", "tickets"] * (TRIALS // 2)
    return [Trial(sale=(LargeSale if large else Sale)(web, world, kind), chance=random.Random(number))
            for number, kind in enumerate(kinds)]  # fmt: skip


def test_begin(web: Api, catalogue: Database) -> None:
    """A payment begins as its hold ends, while the next buyer and the sweep come."""
    ends = []
    for trial in trials(web, catalogue):
        trial.sale.begin("pending")
        over = trial.end_at(0.03)

        def whole(trial: Trial = trial) -> Any:
            return (trial.internal("begin-payment"), trial.pay())

        (begun, paid), taken, _ = at_once([trial.at(over, call) for call in (whole, trial.take, trial.sweep)])
        status = trial.settle()
        if begun == 200:
            assert (paid, taken, status) == (200, 400, "confirmed")
        ends.append((begun, status))
    assert {begun for begun, _ in ends} == {200, 409}, "the edge was never met"


def late_trials(web: Api, catalogue: Database, *others: Callable[[Trial], Callable[[], Any]]) -> list[str]:
    """A payment comes as the time for late ones ends; before, the hold was swept."""
    ends = []
    for number, trial in enumerate(trials(web, catalogue)):
        trial.sale.begin("pending")
        over = trial.end_at(-60 + 0.03) + 60  # the default of LATE_PAYMENT_SECONDS
        if number % 4:
            trial.sweep()
        at_once([trial.at(over, call) for call in (trial.pay, trial.sweep, *(other(trial) for other in others))])
        ends.append(trial.settle())
    return ends


def test_late_with_free_places(web: Api, catalogue: Database) -> None:
    assert set(late_trials(web, catalogue)) == {"confirmed", "expired"}


def test_late_while_another_takes_them(web: Api, catalogue: Database) -> None:
    ends = []
    for number, trial in enumerate(trials(web, catalogue)):
        trial.sale.begin("pending")
        over = trial.end_at(-1) + 1.03
        if number % 2:
            trial.sweep()
        paid, taken = at_once([trial.at(over, trial.pay), trial.at(over, trial.take)])
        status = trial.settle()
        assert (paid == 200) == (status == "confirmed")
        assert (paid == 200) != (taken == 201)  # one of them has the places
        ends.append(status)
    assert set(ends) == {"confirmed", "expired"}


def test_late_with_taken_places(web: Api, catalogue: Database) -> None:
    for trial in trials(web, catalogue):
        trial.sale.begin("pending")
        over = trial.end_at(-1) + 1.01
        assert trial.take() == 201
        paid, again, _ = at_once([trial.at(over, call) for call in (trial.pay, trial.pay, trial.sweep)])
        assert (paid, again) == ((409, "RESERVATION_EXPIRED"),) * 2
        assert trial.settle() == "expired"


def test_extend(web: Api, catalogue: Database) -> None:
    ends = []
    for trial in trials(web, catalogue):
        trial.sale.begin("pending")
        over = trial.end_at(0.03)
        extended, taken, _ = at_once([trial.at(over, call) for call in (trial.extend, trial.take, trial.sweep)])
        assert (extended, taken) in {(200, 400), (400, 201), (400, 400)}
        trial.pay()
        status = trial.settle()
        if extended == 200:
            assert status == "confirmed"
        ends.append(extended)
    assert set(ends) == {200, 400}, "the edge was never met"


def test_fail(web: Api, catalogue: Database) -> None:
    """A payment fails as the time for it ends; another card is tried at once."""
    ends = []
    for trial in trials(web, catalogue):
        trial.sale.begin("pending")
        trial.internal("begin-payment")
        trial.sale.world.rows("UPDATE reservations SET deadline_before_payment = now() WHERE id = %s", trial.sale.id)
        over = trial.end_at(0.03)

        def whole(trial: Trial = trial) -> Any:
            return (trial.internal("fail-payment"), trial.pay())

        (failed, paid), taken, _ = at_once([trial.at(over, call) for call in (whole, trial.take, trial.sweep)])
        status = trial.settle()
        if failed == 200:
            assert (paid, taken, status) == (200, 400, "confirmed")
        ends.append(failed)
    assert set(ends) == {200, 409}, "the edge was never met"


def test_part(web: Api, catalogue: Database) -> None:
    """Parts are cancelled while the payment comes at the deadline, and again while the whole is."""
    ends = []
    for trial in trials(web, catalogue, large=True):
        sale = trial.sale
        assert isinstance(sale, LargeSale)
        sale.begin("pending")
        name = "seatId" if sale.kind == "seat" else "ticketTypeId"

        def part(place: str, sale: LargeSale = sale, name: str = name) -> int:
            items = [{name: place, **({} if name == "seatId" else {"quantity": 1})}]
            return sale.api.post(f"/reservations/{sale.id}/cancel", {"items": items}, user=sale.user).status

        over = trial.end_at(0.03)
        parts = [partial(part, place) for place in sale.places[:2]]
        at_once([trial.at(over, call) for call in (trial.pay, trial.sweep, *parts)])
        if trial.chance.random() < 0.5:
            whole = partial(sale.api.cancel, sale.user, sale.id)
            at_once([*(partial(part, place) for place in sale.places[1:]), whole])
        ends.append(trial.settle())
    assert "confirmed" in ends
    assert "cancelled" in ends
