"""Metrics of webhooks."""

import time
from collections.abc import Iterable

from django.db import connection
from prometheus_client import Counter, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kernel.db.sql import fetch_one
from kernel.observability.exposition import register_source

attempts = Counter("ticketservice_webhook_attempts_total", "Webhooks that were sent, by outcome", ["outcome"])
for _outcome in ("delivered", "failed"):
    attempts.labels(outcome=_outcome)  # exported as 0: increase() misses the first one otherwise
seconds = Histogram("ticketservice_webhook_seconds", "Time until a webhook was answered, or given up, in seconds")

_WAITING = """
SELECT count(*) AS pending,
       coalesce(extract(epoch FROM now() - min(d.pending_since)), 0)::float8 AS oldest_seconds,
       (SELECT count(*) FROM outbox_subscribers WHERE is_active AND paused_at IS NOT NULL) AS paused
FROM outbox_deliveries d JOIN outbox_subscribers s ON s.id = d.subscriber_id
WHERE d.status = 'pending' AND s.is_active AND s.paused_at IS NULL
"""


class WebhookCollector(Collector):
    """What waits to be delivered, read from PostgreSQL at most once in `SECONDS`."""

    SECONDS = 5.0

    def __init__(self) -> None:
        self._read_at = float("-inf")
        self._families: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        if time.monotonic() - self._read_at > self.SECONDS:
            try:
                self._families = self._read()
            finally:
                connection.close()  # this thread serves no requests, after which Django would return it to the pool
            self._read_at = time.monotonic()
        return self._families

    @staticmethod
    def _read() -> list[Metric]:
        row = fetch_one(_WAITING, {})
        texts = {
            "pending": "Webhooks that wait to be delivered, but for those of paused subscribers",
            "oldest_seconds": "For how long the oldest of them has waited, in seconds",
            "paused": "Subscribers that are paused because their URL kept failing",
        }
        names = {
            "pending": "webhook_deliveries_pending",
            "oldest_seconds": "webhook_oldest_pending_seconds",
            "paused": "webhook_subscribers_paused",
        }
        return [GaugeMetricFamily(names[key], texts[key], value=float(row[key])) for key in names]


register_source("webhooks", WebhookCollector())
