"""A bulkhead: only some threads may wait for a component, so that the others are free when it is slow."""

import time
from threading import Condition, get_ident


class NoSlot(Exception):
    """As many threads as allowed are waiting for the component already, and it is slow."""


class Slots:
    """A context manager around each call to the component, which at most `limit` threads may be in.

    While all slots are taken a thread waits for one, but only as long as every call in progress is younger than `patience`
    seconds: a burst is queued, and a component that hangs is not waited for. Entering raises NoSlot then.
    """

    def __init__(self, limit: int, *, patience: float) -> None:
        self._limit = limit
        self._patience = patience
        self._started: dict[int, float] = {}  # time.monotonic() by thread
        self._freed = Condition()

    def __enter__(self) -> None:
        with self._freed:
            while len(self._started) >= self._limit:
                left = min(self._started.values()) + self._patience - time.monotonic()
                if left <= 0:
                    raise NoSlot
                self._freed.wait(left)
            self._started[get_ident()] = time.monotonic()

    def __exit__(self, *_: object) -> None:
        with self._freed:
            del self._started[get_ident()]
            self._freed.notify()
