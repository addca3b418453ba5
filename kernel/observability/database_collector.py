"""A source of metrics that are read from PostgreSQL."""

import time
from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from django.db import connection
from prometheus_client import Metric
from prometheus_client.registry import Collector


class DatabaseCollector(Collector):
    """Figures that `read` reads from PostgreSQL, at most once in `SECONDS`, however often they are scraped."""

    SECONDS: ClassVar[float] = 5.0

    def __init__(self) -> None:
        self._read_at = float("-inf")
        self._metrics: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        if time.monotonic() - self._read_at > self.SECONDS:
            try:
                self._metrics = self.read()
            finally:
                connection.close()  # this thread serves no requests, after which Django would return it to the pool
            self._read_at = time.monotonic()
        return self._metrics

    @abstractmethod
    def read(self) -> list[Metric]: ...
