"""A bulkhead: of the threads of a process, only so many may wait for one component at a time."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from django.conf import settings

from kernel.errors import Outage

PATIENCE_SECONDS = 0.8  # while nobody comes in or leaves
MAX_WAIT_SECONDS = 1.5


class BulkheadFull(Outage):
    """As many threads as may wait for the component do so already, and none of them gets on; or it is known to be away."""


class Bulkhead:
    """`places` are fewer than the threads of the process, so that some are always left for what does without the component.

    A thread that finds no place waits for one while others come and go, but not behind threads that are all stuck. A thread
    that has a place can enter again. Entering a bulkhead that `is_closed` fails at once.

    Threads that only wait for another thread's computation leave the last place free: that thread may need it.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._last_places = 1 if places > 1 else 0
        self._is_closed = False
        self._changed = threading.Condition(threading.Lock())
        self._last_change = time.monotonic()
        self._own = threading.local()

    @contextmanager
    def place_behind_another(self) -> Iterator[None]:
        """For waiting for another thread. Raises BulkheadFull."""
        self.enter(leave_free=self._last_places)
        try:
            yield
        finally:
            self.leave()

    def enter(self, *, leave_free: int = 0) -> None:
        """Raises BulkheadFull. Otherwise call `leave` later, in the same thread."""
        depth = getattr(self._own, "depth", 0)
        if depth == 0 or self._is_closed:
            with self._changed:
                self._wait_for_place(is_needed=depth == 0, leave_free=leave_free)
        self._own.depth = depth + 1

    def leave(self) -> None:
        self._own.depth -= 1
        if self._own.depth == 0:
            with self._changed:
                self._places += 1
                self._last_change = time.monotonic()
                self._changed.notify_all()  # the next in line may have to leave this one free

    def set_closed(self, *, is_closed: bool) -> None:
        with self._changed:
            self._is_closed = is_closed
            self._changed.notify_all()

    def _wait_for_place(self, *, is_needed: bool, leave_free: int) -> None:
        give_up = time.monotonic() + MAX_WAIT_SECONDS
        while self._is_closed or (is_needed and self._places <= leave_free):
            remaining = min(give_up, self._last_change + PATIENCE_SECONDS) - time.monotonic()
            if self._is_closed or remaining <= 0:
                raise BulkheadFull
            self._changed.wait(remaining)
        if is_needed:
            self._places -= 1
            self._last_change = time.monotonic()  # or a burst after a quiet time would find all threads stuck


@cache
def database_bulkhead() -> Bulkhead:
    """That of threads which wait for PostgreSQL, or behind a thread that does."""
    return Bulkhead(settings.DATABASE_PLACES or sys.maxsize)
