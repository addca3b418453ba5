"""Celery beat's clock."""

import logging

from celery.beat import PersistentScheduler

logger = logging.getLogger(__name__)


class Scheduler(PersistentScheduler):
    """Sleeps until an entry is due. Celery's own wakes up 10 ms early and then spins, which costs a percent of a core."""

    def setup_schedule(self) -> None:
        super().setup_schedule()
        logger.info("beat runs %d periodic tasks", len(self.schedule))

    def adjust(self, n: float, drift: float = 0.0) -> float:  # noqa: ARG002 - Celery's signature
        return n
