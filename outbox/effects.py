"""Effects of delivering: figures, and a line in the log when somebody must look."""

import logging
from collections.abc import Sequence
from uuid import UUID

from outbox import metrics
from outbox.sending import AttemptResult

logger = logging.getLogger(__name__)


def attempts_were_made(outcomes: Sequence[AttemptResult]) -> None:
    for outcome in outcomes:
        metrics.attempts.labels(outcome="delivered" if outcome.is_delivered else "failed").inc()
        metrics.seconds.observe(outcome.seconds)


def subscriber_was_paused(subscriber_id: UUID) -> None:
    logger.error("webhooks to subscriber %s are paused: it has failed for too long, or is gone", subscriber_id)
