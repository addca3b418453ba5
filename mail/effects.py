"""Effects of sending: figures, and a line in the log when somebody must look."""

import logging

from mail import metrics

logger = logging.getLogger(__name__)


def mail_ended(outcome: str) -> None:
    metrics.attempts.labels(outcome=outcome).inc()


def server_failed(error: Exception) -> None:
    logger.warning("mail waits, because the mail server is not there: %s", error)
