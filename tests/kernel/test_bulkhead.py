"""Few threads wait for a component at once, and a computation is never locked out by those who wait for its result."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from kernel.concurrency.bulkhead import PATIENCE_SECONDS, Bulkhead, BulkheadFull


@contextmanager
def in_threads(count: int, enter: Callable[[], object]) -> Iterator[list[str]]:
    """`count` threads that enter, one after the other, and stay until the end of the block; what became of each."""
    outcomes: list[str] = []
    is_over = threading.Event()

    def stay() -> None:
        try:
            enter()
        except BulkheadFull:
            outcomes.append("refused")
        else:
            outcomes.append("in")
            is_over.wait(10)

    threads = [threading.Thread(target=stay) for _ in range(count)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 5
    while len(outcomes) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield outcomes
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_who_finds_no_place_is_refused_when_nobody_gets_on() -> None:
    bulkhead = Bulkhead(2)
    with in_threads(2, bulkhead.enter) as outcomes:
        assert outcomes == ["in", "in"]
        started = time.monotonic()
        with pytest.raises(BulkheadFull):
            bulkhead.enter()
        assert time.monotonic() - started < PATIENCE_SECONDS + 0.5


def test_a_place_that_is_left_goes_to_the_next() -> None:
    bulkhead = Bulkhead(1)
    bulkhead.enter()
    waiting = threading.Thread(target=lambda: (bulkhead.enter(), bulkhead.leave()))
    waiting.start()
    bulkhead.leave()
    waiting.join(5)
    assert not waiting.is_alive()


def test_a_burst_after_a_quiet_time_waits_as_any_other() -> None:
    bulkhead = Bulkhead(1)
    time.sleep(PATIENCE_SECONDS + 0.1)
    bulkhead.enter()
    started = time.monotonic()
    with in_threads(1, bulkhead.enter) as outcomes:
        assert outcomes == ["refused"]
    assert time.monotonic() - started >= PATIENCE_SECONDS


def test_a_thread_that_has_a_place_enters_again() -> None:
    bulkhead = Bulkhead(1)
    bulkhead.enter()
    bulkhead.enter()
    bulkhead.leave()
    bulkhead.leave()
    with in_threads(1, bulkhead.enter) as outcomes:
        assert outcomes == ["in"]


def test_those_behind_a_computation_leave_it_a_place() -> None:
    bulkhead = Bulkhead(3)
    with in_threads(5, lambda: bulkhead.enter(leave_free=1)) as outcomes:
        assert sorted(outcomes) == ["in", "in", "refused", "refused", "refused"]
        bulkhead.enter()
        bulkhead.leave()


def test_a_closed_bulkhead_refuses_at_once_and_opens_again() -> None:
    bulkhead = Bulkhead(3)
    bulkhead.set_closed(is_closed=True)
    started = time.monotonic()
    with pytest.raises(BulkheadFull):
        bulkhead.enter()
    assert time.monotonic() - started < PATIENCE_SECONDS / 2
    bulkhead.set_closed(is_closed=False)
    bulkhead.enter()
