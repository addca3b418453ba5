"""Metrics of mail."""

from django.conf import settings
from prometheus_client import Counter, Metric
from prometheus_client.core import GaugeMetricFamily

from kernel.db.sql import fetch_one
from kernel.observability.database_collector import DatabaseCollector
from kernel.observability.exposition import register_source

attempts = Counter("ticketservice_mail_attempts_total", "Mails that were sent or given up, by outcome", ["outcome"])

_WAITING = """
SELECT count(*) FILTER (WHERE status IN ('pending', 'sending')) AS pending,
       coalesce(
           extract(epoch FROM now() - min(pending_since) FILTER (WHERE status = 'pending')), 0
       )::float8 AS oldest_seconds
FROM mails WHERE status IN ('pending', 'sending')
"""


class MailCollector(DatabaseCollector):
    """What waits to be sent."""

    def read(self) -> list[Metric]:
        row = fetch_one(_WAITING, {})
        return [
            GaugeMetricFamily("mails_pending", "Mails that wait to be sent", value=float(row["pending"])),
            GaugeMetricFamily(
                "mail_oldest_pending_seconds",
                "For how long the oldest of them has waited, in seconds",
                value=row["oldest_seconds"],
            ),
        ]


if settings.MAIL_ENABLED:
    for _outcome in ("sent", "pending", "failed", "uncertain", "dropped"):
        attempts.labels(outcome=_outcome)  # exported as 0: increase() misses the first one otherwise
    register_source("mail", MailCollector())
