"""How far the seats of an event have been generated or replaced, in Redis: the only code that knows this key."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from uuid import UUID

import orjson
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from kernel.errors import DomainError
from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import execute
from kernel.redis.scripts import tagged_key

FIRST_AFTER = 1.0  # seconds: what takes less has no progress
EVERY = 0.5  # seconds
LIFE_SECONDS = 60
FAILURE_SECONDS = 3600  # so long an organiser can read why it failed


def progress_key(event_id: UUID) -> str:
    return tagged_key("seats:{}:progress", event_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatProgress:
    """Of `total` steps `done` are done. `failure` is why it has failed, a template for `values`, or empty."""

    done: int
    total: int
    failure: str = ""
    values: Mapping[str, Any] | None = None

    @property
    def failure_message(self) -> str:
        """In the language of the page."""
        text = gettext(self.failure)
        return text % self.values if self.values else text


class Progress:
    """Counts steps, one for each seat, and writes the count to Redis while it lasts longer than a second.

    Called inside a transaction, so that it is seen before the commit: two short commands a second. Safe to lose.
    """

    def __init__(self, event_id: UUID, *, total: int) -> None:
        self._event_id = event_id
        self._done, self._total = 0, total
        self._next = time.monotonic() + FIRST_AFTER
        self._is_written = False

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._is_written:
            forget_progress(self._event_id)

    def advance(self, steps: int) -> None:
        self._done += steps
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            self._is_written = True
            _write(self._event_id, SeatProgress(done=self._done, total=self._total), seconds=LIFE_SECONDS)


def progress_started(*, event_id: UUID, total: int) -> None:
    """Says that a task is about to begin."""
    _write(event_id, SeatProgress(done=0, total=total), seconds=LIFE_SECONDS)


def progress_failed(*, event_id: UUID, error: BaseException) -> None:
    """Says why nothing has changed."""
    template, values = _("It failed. See the log of the workers."), None
    if isinstance(error, DomainError):
        template, values = error.template or error.message, error.values
    _write(event_id, SeatProgress(done=0, total=0, failure=template, values=values), seconds=FAILURE_SECONDS)


def forget_progress(event_id: UUID) -> None:
    with suppress(RedisUnavailable):
        execute(lambda redis: redis.delete(progress_key(event_id)))


def read_progress(event_id: UUID) -> SeatProgress | None:
    """None if nothing is under way, or Redis is away."""
    try:
        found = execute(lambda redis: redis.get(progress_key(event_id)))
    except RedisUnavailable:
        return None
    return SeatProgress(**orjson.loads(found)) if found else None


def _write(event_id: UUID, progress: SeatProgress, *, seconds: int) -> None:
    with suppress(RedisUnavailable):
        execute(lambda redis: redis.set(progress_key(event_id), orjson.dumps(progress), ex=seconds))
