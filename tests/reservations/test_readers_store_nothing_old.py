"""Whoever began to read before a change stores nothing of it in the caches: each operation forgets readers' leases, too."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.harness import Api, Database
from tests.support.one_sale import LargeSale, call_off, cancel, pay, refund, sell, sweep

OPERATIONS = [
    *((kind, *case) for kind in ("seat", "tickets") for case in (
        ("free", sell, 201), ("pending", cancel, 200), ("paid", refund, 200), ("pending", call_off, 1), ("due", sweep, 1),
    )),
    ("seat", "pending", pay, 200),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "before", "operation", "answer"), OPERATIONS, ids=[f"{case[2].__name__} {case[0]}" for case in OPERATIONS]
)
def test_a_reader_from_before_a_change_stores_nothing(
    web: Api, catalogue: Database, redis, kind: str, before: str, operation: Callable[[LargeSale], Any], answer: Any
) -> None:
    from kernel.redis import caching

    sale = LargeSale(web, catalogue, kind).begin(before)
    key = f"seats:{sale.event}" if kind == "seat" else f"event:{sale.event}"

    def read_and_meanwhile_it_changes() -> bytes:
        assert operation(sale) == answer
        return b"old"

    assert caching.read_through(key, read_and_meanwhile_it_changes, seconds=5) == b"old"
    assert not redis.exists(key, f"{key}:lease")
    assert caching.read_through(key, lambda: b"new", seconds=5) == b"new"
    assert redis.get(key) == "new"  # as it would have stood there without the change
