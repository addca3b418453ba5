"""Metrics of webhooks."""

from prometheus_client import Counter, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily

from kernel.db.sql import fetch_one
from kernel.observability.database_collector import DatabaseCollector
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


class WebhookCollector(DatabaseCollector):
    """What waits to be delivered."""

    def read(self) -> list[Metric]:
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
