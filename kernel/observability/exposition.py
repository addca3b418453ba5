"""The metrics of a scrape: counters of all processes of this machine, and figures read from Redis and PostgreSQL.

A scrape always succeeds. Its sources are read concurrently, each for at most TIMEOUT_SECONDS. One that fails or hangs is
left out, and `metrics_source_up` is 0 for it.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from threading import Lock

from django.conf import settings
from prometheus_client import REGISTRY, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kernel.observability import multiprocess

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 2.0  # Prometheus' own default is 10
MAX_SOURCES = 8
_executor = ThreadPoolExecutor(max_workers=MAX_SOURCES, thread_name_prefix="scrape")


class _Source:
    """A named collector that runs in a thread, at most once at a time."""

    def __init__(self, name: str, collector: Collector) -> None:
        self.name = name
        self._collector = collector
        self._running: Future[list[Metric]] | None = None
        self._lock = Lock()

    def start(self) -> "Future[list[Metric]] | None":
        """Return the metrics to come, or None if the collector still hangs since an earlier scrape."""
        # Otherwise each scrape would take one more thread, until none was left for the other sources.
        with self._lock:
            if self._running is not None and not self._running.done():
                return None
            self._running = _executor.submit(lambda: list(self._collector.collect()))
            return self._running


_sources: list[_Source] = []


def register_source(name: str, collector: Collector) -> None:
    """Add a source of figures that are read once for each scrape, and are the same for every process."""
    _sources.append(_Source(name, collector))


class MachineCollector(Collector):
    """The counters of all processes of this machine that share METRICS_DIR."""

    def collect(self) -> Iterable[Metric]:
        return multiprocess.read(settings.METRICS_DIR)


class ServiceCollector(Collector):
    """All sources."""

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("metrics_source_up", "Whether a source of metrics could be read", labels=["source"])
        deadline = time.monotonic() + TIMEOUT_SECONDS
        for source, future in [(source, source.start()) for source in _sources]:
            metrics = None
            try:
                if future is not None:
                    metrics = future.result(timeout=max(0.0, deadline - time.monotonic()))
            except FutureTimeout:
                logger.warning("metrics source %s timed out", source.name)
            except Exception as error:  # noqa: BLE001 - a scrape without this source is better than none
                logger.warning("metrics source %s failed: %s: %s", source.name, type(error).__name__, error)
            up.add_metric([source.name], metrics is not None)
            yield from metrics or ()
        yield up


register_source("processes", MachineCollector() if multiprocess.counts_in_files() else REGISTRY)
