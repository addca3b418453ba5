"""The base class of every Celery task."""

import logging
import time
from typing import Any

from celery import Task
from django.db import InterfaceError, OperationalError
from prometheus_client import Counter, Histogram

from kernel.errors import DomainError, Outage
from kernel.observability.request_context import current_request_id, current_task_id
from kernel.tasks.enqueue import REQUEST_ID

logger = logging.getLogger(__name__)

outcomes = Counter("ticketservice_tasks_total", "Background tasks that have run, by outcome", ["task", "outcome"])
seconds = Histogram("ticketservice_task_seconds", "Run time of background tasks in seconds", ["task"])


class InstrumentedTask(Task):  # type: ignore[type-arg]  # generic only in its stubs
    """Times a task, counts its outcome, and adds its id and that of the causing request to every log line.

    A domain error is logged as information. An unavailable database or Redis is a warning without a traceback, since the
    next run makes up for it.
    """

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        task_id = self.request.id or "-"
        request_token = current_request_id.set(self.request.get(REQUEST_ID) or task_id)
        task_token = current_task_id.set(task_id)
        started = time.perf_counter()
        outcome = "failed"
        outcomes.labels(task=self.name, outcome=outcome)  # exported as 0: increase() misses the first one otherwise
        try:
            result = super().__call__(*args, **kwargs)
            outcome = "done"
        except DomainError as error:
            outcome = "rejected"
            logger.info("%s rejected: %s", self.name, error.message, extra={"task": self.name, **kwargs})
        except (OperationalError, InterfaceError, Outage) as error:
            outcome = "unavailable"
            logger.warning("%s: %s", self.name, error, extra={"task": self.name, **kwargs})
        else:
            if result:
                logger.info("%s: %s", self.name, result, extra={"task": self.name, **kwargs})
            return result
        finally:
            outcomes.labels(task=self.name, outcome=outcome).inc()
            seconds.labels(task=self.name).observe(time.perf_counter() - started)
            current_request_id.reset(request_token)
            current_task_id.reset(task_token)
