"""The circuit breaker: a component that has failed is called seldom, and no thread waits for another one's call."""

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from kernel.concurrency import circuit_breaker
from kernel.concurrency.circuit_breaker import BreakerOpen, CircuitBreaker

REST = 10.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(circuit_breaker, "time", SimpleNamespace(monotonic=found.monotonic))
    return found


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(failure_threshold=3, reset_timeout=REST, failure_types=(OSError,))


class Component:
    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = OSError("down")

    def __call__(self) -> str:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return "up"


@pytest.fixture
def component() -> Component:
    return Component()


def call(breaker: CircuitBreaker, component: Callable[[], object]) -> object:
    with breaker:
        return component()


def fail(breaker: CircuitBreaker, component: Callable[[], object], times: int) -> None:
    for _ in range(times):
        with pytest.raises(OSError, match="down"):
            call(breaker, component)


def test_after_so_many_failures_in_a_row_the_component_is_not_called(
    breaker: CircuitBreaker, component: Component
) -> None:
    fail(breaker, component, 3)
    for _ in range(5):
        with pytest.raises(BreakerOpen):
            call(breaker, component)
    assert component.calls == 3


def test_a_success_starts_the_count_again(breaker: CircuitBreaker, component: Component) -> None:
    for _ in range(4):
        component.error = OSError("down")
        fail(breaker, component, 2)
        component.error = None
        assert call(breaker, component) == "up"


def test_other_exceptions_pass_through_and_do_not_count(breaker: CircuitBreaker, component: Component) -> None:
    component.error = ValueError("a bug, not an outage")
    for _ in range(10):
        with pytest.raises(ValueError, match="a bug"):
            call(breaker, component)
    assert component.calls == 10


def test_it_stays_open_until_the_rest_is_over(breaker: CircuitBreaker, component: Component, clock: Clock) -> None:
    fail(breaker, component, 3)
    component.error = None
    clock.now += REST - 0.01
    with pytest.raises(BreakerOpen):
        call(breaker, component)
    clock.now += 0.01
    assert call(breaker, component) == "up"
    assert component.calls == 4


def test_a_failed_trial_starts_another_rest(breaker: CircuitBreaker, component: Component, clock: Clock) -> None:
    fail(breaker, component, 3)
    for trial in range(1, 4):
        clock.now += REST
        fail(breaker, component, 1)
        clock.now += REST - 0.01
        with pytest.raises(BreakerOpen):
            call(breaker, component)
        clock.now -= REST - 0.01
        assert component.calls == 3 + trial


def test_a_successful_trial_closes_it(breaker: CircuitBreaker, component: Component, clock: Clock) -> None:
    fail(breaker, component, 3)
    clock.now += REST
    component.error = None
    assert call(breaker, component) == "up"
    component.error = OSError("down")
    fail(breaker, component, 3)  # which it would not, if the first failures still counted
    with pytest.raises(BreakerOpen):
        call(breaker, component)


def test_while_one_caller_tries_others_are_refused(breaker: CircuitBreaker, component: Component, clock: Clock) -> None:
    fail(breaker, component, 3)
    clock.now += REST
    is_trying, may_return, results = threading.Event(), threading.Event(), []

    def slow() -> str:
        is_trying.set()
        assert may_return.wait(10)
        return "up"

    trial = threading.Thread(target=lambda: results.append(call(breaker, slow)))
    trial.start()
    assert is_trying.wait(10)
    try:
        for _ in range(5):
            with pytest.raises(BreakerOpen):
                call(breaker, component)
        clock.now += REST  # the trial hangs: it must not keep the breaker open forever
        component.error = None
        assert call(breaker, component) == "up"
    finally:
        may_return.set()
        trial.join(10)
    assert results == ["up"]
    assert component.calls == 4


def test_of_many_threads_one_tries(breaker: CircuitBreaker, component: Component, clock: Clock) -> None:
    fail(breaker, component, 3)
    clock.now += REST
    start, refused = threading.Barrier(16), []

    def contend() -> None:
        start.wait(10)
        try:
            call(breaker, component)
        except (BreakerOpen, OSError) as error:
            refused.append(type(error))

    threads = [threading.Thread(target=contend) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert component.calls == 4
    assert refused.count(BreakerOpen) == 15


def test_no_thread_waits_for_the_call_of_another(breaker: CircuitBreaker) -> None:
    """Nor does one that fails meanwhile."""
    is_running, may_return = threading.Event(), threading.Event()

    def slow() -> None:
        is_running.set()
        assert may_return.wait(10)

    def down() -> None:
        raise OSError("down")

    thread = threading.Thread(target=call, args=(breaker, slow))
    thread.start()
    assert is_running.wait(10)
    done = threading.Event()

    def others() -> None:
        call(breaker, lambda: None)
        fail(breaker, down, 1)
        done.set()

    other = threading.Thread(target=others, daemon=True)
    other.start()
    try:
        assert done.wait(5)
    finally:
        may_return.set()
        thread.join(10)
