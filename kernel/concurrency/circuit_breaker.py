"""A circuit breaker for threads: a component that is down is asked seldom, so that it can not hold every thread.

Our own, because the libraries hold a lock while the call runs, which makes all threads take turns.
"""

import time
from collections.abc import Callable
from threading import Lock
from typing import ParamSpec, TypeVar

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")


class BreakerOpen(Exception):
    """The component failed a moment ago and was not asked."""


class CircuitBreaker:
    """After `failures` in a row calls are refused for `rest` seconds; then one caller tries while others are refused."""

    def __init__(self, *, failures: int, rest: float, counts: tuple[type[BaseException], ...]) -> None:
        self._limit = failures
        self._rest = rest
        self._counts = counts
        self._failed = 0
        self._closed_until = 0.0  # monotonic seconds; before it nobody asks
        self._lock = Lock()

    def call(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """`function(...)`. Raises BreakerOpen instead of calling while the breaker is open."""
        if self._failed >= self._limit:
            self._take_the_trial()
        try:
            result = function(*args, **kwargs)
        except self._counts:
            with self._lock:
                self._failed += 1
                self._closed_until = time.monotonic() + self._rest
            raise
        if self._failed:
            self._failed = 0
        return result

    def _take_the_trial(self) -> None:
        """Returns for the one caller who may try; raises BreakerOpen for everybody else."""
        now = time.monotonic()
        with self._lock:
            if now < self._closed_until:
                raise BreakerOpen
            self._closed_until = now + self._rest
