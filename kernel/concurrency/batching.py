"""Batches concurrent calls from several threads into one call (request coalescing)."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Batch(Generic[Item, Result]):
    def __init__(self) -> None:
        self.items: list[Item] = []
        self.results: Sequence[Result] = ()
        self.error: BaseException | None = None
        # Held by the leader, the thread that submitted first, until the batch is done. A Lock costs a tenth of an Event.
        self.in_progress = Lock()


class Batcher(Generic[Item, Result]):
    """Collects items that threads submit while a batch is running, and processes them as the next batch.

    `process` takes a list of items and returns a result for each, in the same order. Only one batch runs at a time, and
    each item is submitted before its batch starts, so a result is as fresh as one from a call of its own. A thread that is
    alone never waits.
    """

    def __init__(self, process: Callable[[list[Item]], Sequence[Result]]) -> None:
        self._process = process
        self._next: _Batch[Item, Result] = _Batch()
        self._collecting = Lock()
        self._processing = Lock()

    def submit(self, item: Item) -> Result:
        """Return the result for `item`. An exception from `process` is raised in every thread of the batch."""
        with self._collecting:
            batch = self._next
            index = len(batch.items)
            batch.items.append(item)
            if index == 0:
                batch.in_progress.acquire()
        if index == 0:
            self._run(batch)
        else:
            with batch.in_progress:  # only to wait for the leader
                pass
        if batch.error is not None:
            raise batch.error
        return batch.results[index]

    def _run(self, batch: _Batch[Item, Result]) -> None:
        try:
            with self._processing:
                with self._collecting:
                    self._next = _Batch()
                batch.results = self._process(batch.items)
        except BaseException as error:  # noqa: BLE001 - raised by `submit`
            batch.error = error
        finally:
            batch.in_progress.release()
