"""The last tickets, wanted by several at the moment at which they come back. Nobody loses them to an error.

A statement that has waited for a row computes from the row as it is then, not as it was when the statement began.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from tests.support.harness import Answer, Api, Database, assert_books_agree, at_once, new_user
from tests.support.interleaving import InProcess, changed_statement, in_a_thread, one_after_the_other
from tests.support.one_sale import Sale, add_ticket_type, cancel, refund, sweep

pytestmark = pytest.mark.slow

ROUNDS = 250
LAST = 3


def hold_the_last(web: Api, world: Database) -> Sale:
    """An event of its own, and its only ticket type: all that there is of it is held by one buyer."""
    event = world.add_event()
    ticket_type = add_ticket_type(world, event)
    world.rows("UPDATE ticket_types SET total_quantity = 3, available_quantity = 3 WHERE id = %s", ticket_type)
    return hold(web, world, event, ticket_type)


def hold(web: Api, world: Database, event: str, ticket_type: str) -> Sale:
    buyer, held = buy(web, event, ticket_type)
    assert held.status == 201
    return Sale(web, world, "tickets", event, ticket_type, buyer, held.json["reservation"]["id"])


def buy(web: Api, event: str, ticket_type: str, quantity: int = LAST) -> tuple[str, Answer]:
    buyer = new_user()
    return buyer, web.buy(buyer, event, **{ticket_type: quantity})


def buy_last(sale: Sale) -> int:
    return buy(sale.api, sale.event, sale.place)[1].status


def expire_and_sweep(sale: Sale) -> Any:
    sale.world.expire(sale.id)
    return sweep(sale)


def set_total(sale: Sale, total: int) -> None:
    from reservations.services import change_total

    change_total(ticket_type_id=UUID(sale.place), total=total)


@pytest.mark.long
@pytest.mark.parametrize("end", [cancel, expire_and_sweep])
def test_250_times_three_buyers_get_the_last_tickets_or_are_told_that_there_are_none(
    web: Api, catalogue: Database, end: Callable[[Sale], Any]
) -> None:
    sale, answered = hold_the_last(web, catalogue), Counter[int]()
    for _ in range(ROUNDS):
        calls = [partial(in_a_thread, partial(end, sale)), *[partial(buy, web, sale.event, sale.place)] * 3]
        _, *answers = at_once(calls)
        answered.update(answer.status for _, answer in answers)
        won = [(buyer, answer) for buyer, answer in answers if answer.status == 201]
        assert len(won) <= 1
        # All three may have been told before the tickets came back: then the next one gets them.
        buyer, answer = won[0] if won else buy(web, sale.event, sale.place)
        assert answer.status == 201
        sale = Sale(web, catalogue, "tickets", sale.event, sale.place, buyer, answer.json["reservation"]["id"])
    assert set(answered) == {201, 400}
    assert_books_agree(sale.event)


@pytest.mark.parametrize(("before", "end", "answer"), [
    ("pending", cancel, 200), ("paid", refund, 200), ("due", sweep, 1),
])  # fmt: skip
def test_one_of_three_who_wait_gets_the_tickets_that_come_back(
    web: Api, catalogue: Database, before: str, end: Callable[[Sale], Any], answer: Any
) -> None:
    sale = hold_the_last(web, catalogue)
    if before == "paid":
        sale.api.confirm(sale.id, 3000)
    elif before == "due":
        catalogue.expire(sale.id)
    calls = [partial(end, sale), *[partial(buy_last, sale)] * 3]
    ended, *answers = one_after_the_other(catalogue, sale.held_at, *calls)
    assert (ended, sorted(answers)) == (answer, [201, 400, 400])
    assert_books_agree(sale.event)


def test_a_buyer_who_waits_gets_tickets_that_are_added(web: Api, catalogue: Database) -> None:
    sale = hold_the_last(web, catalogue)
    calls = [partial(set_total, sale, 10), partial(buy_last, sale)]
    assert one_after_the_other(catalogue, sale.held_at, *calls) == [None, 201]
    assert stock(catalogue, sale.place) == (4, 10)
    calls = [partial(set_total, sale, 100), partial(buy_last, sale)]  # then more are left than there ever were before
    assert one_after_the_other(catalogue, sale.held_at, *calls) == [None, 201]
    assert stock(catalogue, sale.place) == (91, 100)
    assert_books_agree(sale.event)


def test_an_organiser_who_waits_takes_away_tickets_that_come_back(web: Api, catalogue: Database) -> None:
    sale = hold_the_last(web, catalogue)
    calls = [partial(cancel, sale), partial(set_total, sale, 1)]
    assert one_after_the_other(catalogue, sale.held_at, *calls) == [200, None]
    assert stock(catalogue, sale.place) == (1, 1)
    assert_books_agree(sale.event)


def stock(world: Database, ticket_type: str) -> tuple[int, int]:
    (row,) = world.rows("SELECT available_quantity, total_quantity FROM ticket_types WHERE id = %s", ticket_type)
    return tuple(row.values())


def test_control_computed_from_the_row_of_before_the_wait_nobody_gets_them(
    catalogue: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = hold_the_last(InProcess(), catalogue)
    with changed_statement(
        monkeypatch,
        "reservations.services.reserving_tickets",
        "_RESERVE",
        "available_quantity = p.available_quantity - p.quantity",
        "available_quantity = t.available_quantity - p.quantity",
    ):
        calls = [partial(cancel, sale), partial(buy_last, sale)]
        assert one_after_the_other(catalogue, sale.held_at, *calls) == [200, 500]
