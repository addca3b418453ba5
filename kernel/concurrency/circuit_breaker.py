"""A circuit breaker for threads: a component that is down is asked seldom, so that it can not hold every thread.

Our own, because the libraries hold a lock while the call runs, which makes all threads take turns.
"""

import time
from threading import Lock


class BreakerOpen(Exception):
    """The component failed a moment ago and was not asked."""


class CircuitBreaker:
    """A context manager around each call. After `failures` in a row calls are refused for `rest` seconds; then one caller
    tries while others are refused.

    Only exceptions of the classes `counts` are failures. Raises BreakerOpen on entry while the breaker is open.
    """

    def __init__(self, *, failures: int, rest: float, counts: tuple[type[BaseException], ...]) -> None:
        self._limit = failures
        self._rest = rest
        self._counts = counts
        self._failed = 0
        self._closed_until = 0.0  # monotonic seconds; before it nobody asks
        self._lock = Lock()

    def __enter__(self) -> None:
        if self._failed >= self._limit:
            self._take_the_trial()

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            if self._failed:
                self._failed = 0
        elif isinstance(error, self._counts):
            with self._lock:
                self._failed += 1
                self._closed_until = time.monotonic() + self._rest

    def _take_the_trial(self) -> None:
        """Returns for the one caller who may try; raises BreakerOpen for everybody else."""
        now = time.monotonic()
        with self._lock:
            if now < self._closed_until:
                raise BreakerOpen
            self._closed_until = now + self._rest
