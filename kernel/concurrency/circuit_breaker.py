"""A circuit breaker for threads: calls to a component that is down fail at once instead of blocking every thread.

Ours, because the libraries hold a lock for the duration of the call, which serializes all threads (docs/adr/0009).
"""

import time
from threading import Lock


class BreakerOpen(Exception):
    """The component has just failed, and was not called."""


class CircuitBreaker:
    """A context manager around each call to the component.

    After `failure_threshold` failures in a row the breaker is open for `reset_timeout` seconds: entering it raises
    BreakerOpen. Then one trial call passes, while others are still rejected; its success closes the breaker. Only
    exceptions of `failure_types` are failures.
    """

    def __init__(
        self, *, failure_threshold: int, reset_timeout: float, failure_types: tuple[type[BaseException], ...]
    ) -> None:
        self._failure_threshold = failure_threshold
        self._reset_timeout = reset_timeout
        self._failure_types = failure_types
        self._failures = 0
        self._next_trial_at = 0.0  # time.monotonic()
        self._lock = Lock()

    # A closed breaker takes no lock: reading an int is atomic, and a race only lets one more call through.

    def __enter__(self) -> None:
        if self._failures >= self._failure_threshold:
            self._acquire_trial()

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            if self._failures:
                self._failures = 0
        elif isinstance(error, self._failure_types):
            with self._lock:
                self._failures += 1
                self._next_trial_at = time.monotonic() + self._reset_timeout

    def _acquire_trial(self) -> None:
        """Return for the one caller that may try; raise BreakerOpen for all others."""
        now = time.monotonic()
        with self._lock:
            if now < self._next_trial_at:
                raise BreakerOpen
            self._next_trial_at = now + self._reset_timeout
