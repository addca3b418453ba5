"""Whoever locks several rows does so in the order of their ids, so that nobody waits for somebody who waits for them.

The first row is held by somebody else; nothing of the others is locked then.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.support.harness import Api, Database, new_user, wait_until
from tests.support.interleaving import (
    InProcess,
    changed_statement,
    in_a_thread,
    is_locked,
    locked_row,
    one_after_the_other,
    waiting_statements,
)
from tests.support.one_sale import LargeSale, call_off, cancel, drop, pay, refund, sell, sweep

IN_ORDER = [
    *((kind, *case) for kind in ("seat", "tickets") for case in (
        ("free", sell, 201), ("pending", cancel, 200), ("paid", refund, 200), ("pending", call_off, 1), ("due", sweep, 1),
    )),
    ("seat", "pending", pay, 200), ("seat", "pending", drop, 200),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "before", "operation", "answer"), IN_ORDER, ids=[f"{case[2].__name__} {case[0]}" for case in IN_ORDER]
)
def test_places_are_locked_in_the_order_of_their_ids(
    web: Api, catalogue: Database, kind: str, before: str, operation: Callable[[LargeSale], Any], answer: Any
) -> None:
    sale = LargeSale(web, catalogue, kind).begin(before)

    def others_are_locked() -> bool:
        return any(is_locked(catalogue, sale.held_at[0], place) for place in sale.places[1:])

    with ThreadPoolExecutor(1) as threads:
        with locked_row(catalogue, *sale.held_at):
            done = threads.submit(in_a_thread, partial(operation, sale))
            wait_until(lambda: waiting_statements(catalogue) == 1, seconds=4)
            assert not others_are_locked()
        assert done.result() == answer


def test_reservations_are_locked_in_the_order_of_their_ids(web: Api, catalogue: Database) -> None:
    """By whoever takes over several, and by whoever ends them all."""
    for before, operation, answer in (("due", sell, 201), ("pending", call_off, 3)):
        sale = LargeSale(web, catalogue, "seat").begin("free")
        held = [web.reserve(new_user(), sale.event, place).json["reservation"]["id"] for place in sale.places]
        for reservation in held if before == "due" else ():
            catalogue.expire(reservation)
        first, *others = sorted(held)
        with ThreadPoolExecutor(1) as threads:
            with locked_row(catalogue, "reservations", first):
                done = threads.submit(operation, sale)
                wait_until(lambda: waiting_statements(catalogue) == 1, seconds=4)
                assert not any(is_locked(catalogue, "reservations", other) for other in others)
            assert done.result() == answer


@pytest.mark.parametrize("kind", ["seat", "tickets"])
@pytest.mark.parametrize(("before", "end_it"), [("pending", cancel), ("paid", refund)], ids=["cancel", "refund"])
def test_giving_back_several_while_another_wants_them_does_not_deadlock(
    web: Api, catalogue: Database, kind: str, before: str, end_it: Callable[[LargeSale], Any]
) -> None:
    sale = LargeSale(web, catalogue, kind).begin(before)
    sold, given_back = one_after_the_other(catalogue, sale.held_at, partial(sell, sale), partial(end_it, sale))
    assert (sold, given_back) == (400 if kind == "seat" else 201, 200)
    if kind == "seat":
        assert sale.end == ("cancelled", "refunded", False, "available")


def test_control_in_another_order_giving_back_and_reserving_deadlock(
    catalogue: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = LargeSale(InProcess(), catalogue, "seat").begin("pending")
    with changed_statement(
        monkeypatch,
        "reservations.services.releasing",
        "_CANCEL",
        "ORDER BY s.id FOR UPDATE",
        "ORDER BY s.id DESC FOR UPDATE",
    ):
        sold, given_back = one_after_the_other(catalogue, sale.held_at, partial(sell, sale), partial(cancel, sale))
    assert (sold, given_back) != (400, 200)
