"""GET /metrics: what the processes of this machine have counted, and what is read from Redis and PostgreSQL just now.

A scrape always answers. Its sources are read side by side, each for at most `TIME_LIMIT`; one that fails or hangs is left
out, and `metrics_source_up` says so.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from threading import Lock

from django.conf import settings
from prometheus_client import REGISTRY, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kernel.observability import multiprocess

logger = logging.getLogger(__name__)

TIME_LIMIT = 2.0  # seconds; Prometheus waits for 10 unless it is told otherwise
MAX_SOURCES = 8
_threads = ThreadPoolExecutor(max_workers=MAX_SOURCES, thread_name_prefix="scrape")


class Source:
    """A collector with a time limit. One that hangs is not asked again before it has come back."""

    def __init__(self, name: str, collector: Collector) -> None:
        self.name = name
        self._collector = collector
        self._running: Future[list[Metric]] | None = None
        self._lock = Lock()

    def start(self) -> "Future[list[Metric]] | None":
        """None when it still hangs since the last scrape."""
        with self._lock:
            if self._running is not None and not self._running.done():
                return None
            self._running = _threads.submit(lambda: list(self._collector.collect()))
            return self._running


_sources: list[Source] = []


def read_at_scrape(name: str, collector: Collector) -> None:
    """Figures that are true for the whole service: exported once for each scrape, however many processes there are."""
    _sources.append(Source(name, collector))


class OfThisMachine(Collector):
    """What the processes of this machine have counted that share a directory."""

    def collect(self) -> Iterable[Metric]:
        return multiprocess.read(settings.METRICS_DIR)


class Everything(Collector):
    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("metrics_source_up", "Whether a source of figures could be read", labels=["source"])
        give_up = time.monotonic() + TIME_LIMIT
        for source, running in [(source, source.start()) for source in _sources]:
            found = None
            try:
                if running is not None:
                    found = running.result(timeout=max(0.0, give_up - time.monotonic()))
            except NotInTime:
                logger.warning("the metrics of %s did not come in time", source.name)
            except Exception as error:  # noqa: BLE001 - fewer figures are better than none
                logger.warning("no metrics of %s: %s: %s", source.name, type(error).__name__, error)
            up.add_metric([source.name], found is not None)
            yield from found or ()
        yield up


read_at_scrape("processes", OfThisMachine() if multiprocess.counts_in_files() else REGISTRY)
