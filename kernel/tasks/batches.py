"""Batches that go on past an item that fails."""

import logging
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from django.db import InterfaceError, OperationalError
from prometheus_client import Counter

from kernel.errors import DomainError
from kernel.redis.client import RedisUnavailable

MAX_SECONDS = 60.0  # less than the soft time limit of a task
RETRY_SECONDS = 60.0
# SQLSTATEs that concern the rows of one statement, although psycopg counts them as operational errors: a statement or a wait
# for a lock that took too long, a deadlock, a conflict with another transaction.
_OF_ONE_STATEMENT = {"57014", "55P03", "40P01", "40001"}

Item = TypeVar("Item", bound=Hashable)
logger = logging.getLogger(__name__)
failures = Counter("ticketservice_batch_failures_total", "Items of a batch that failed and were passed over", ["batch"])


def is_outage(error: Exception) -> bool:
    """Whether PostgreSQL or Redis is away, so that the other items would fail, too."""
    if isinstance(error, OperationalError):
        return getattr(error.__cause__, "sqlstate", None) not in _OF_ONE_STATEMENT
    return isinstance(error, (InterfaceError, RedisUnavailable))


class Batch(Generic[Item]):
    """Work on many items, repeated by a task. An item that fails is logged, counted, and left out for RETRY_SECONDS."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._retry_at: dict[Item, float] = {}
        self._failures = failures.labels(batch=name)

    @property
    def left_out(self) -> list[Item]:
        """The items that have failed lately."""
        now = time.monotonic()
        self._retry_at = {item: retry_at for item, retry_at in self._retry_at.items() if retry_at > now}
        return list(self._retry_at)

    def run(self, items: Iterable[Item], work: Callable[[Item], int], *, seconds: float = MAX_SECONDS) -> int:
        """Calls `work` with each item, for at most so many seconds. Returns the sum of the results.

        Raises only what `is_outage` is true of.
        """
        stop_at = time.monotonic() + seconds
        left_out = set(self.left_out)
        total = 0
        for item in items:
            if item in left_out:
                continue
            if time.monotonic() > stop_at:
                logger.warning("%s: stopped after %.0f s; the next run does the rest", self.name, seconds)
                break
            try:
                total += work(item)
            except Exception as error:
                if is_outage(error):
                    raise
                self.pass_over(item, error)
        return total

    def pass_over(self, item: Item, error: Exception) -> None:
        """Logs and counts an item that failed, and leaves it out of the next runs."""
        self._failures.inc()
        self._retry_at[item] = time.monotonic() + RETRY_SECONDS
        if isinstance(error, DomainError):
            logger.warning("%s: %s: %s", self.name, item, error.message)
        else:
            logger.error("%s: %s failed and is tried again after a minute", self.name, item, exc_info=error)
