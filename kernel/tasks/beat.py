"""The scheduler of `beat`."""

import logging
from typing import Any

from celery.beat import PersistentScheduler, SchedulingError

logger = logging.getLogger(__name__)


class Scheduler(PersistentScheduler):
    """Celery's, but a broker that is unavailable is a warning, without a traceback for each task that is due."""

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            logger.warning("%s", error)
