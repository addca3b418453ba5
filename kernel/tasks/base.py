"""The base of every Celery task."""

import logging
import time
from typing import Any

from celery import Task
from django.db import InterfaceError, OperationalError
from prometheus_client import Counter, Histogram

from kernel.errors import DomainError
from kernel.observability.request_context import current_job_id, current_request_id
from kernel.redis.client import RedisUnavailable
from kernel.tasks.enqueue import REQUEST_ID

logger = logging.getLogger(__name__)

outcomes = Counter("ticketservice_tasks_total", "Background tasks that ran, by how they ended", ["task", "outcome"])
seconds = Histogram("ticketservice_task_seconds", "How long background tasks ran", ["task"])


class InstrumentedTask(Task):  # type: ignore[type-arg]  # generic only in its stubs
    """Times a task, counts how it ended, and puts its id into every log line, with that of the request that asked for it.

    A refusal is an end like any other; a database or Redis that is away is a warning, since the next run makes up for it.
    """

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        job_id = self.request.id or "-"
        names = current_request_id.set(self.request.get(REQUEST_ID) or job_id), current_job_id.set(job_id)
        started = time.perf_counter()
        outcome = "failed"
        outcomes.labels(task=self.name, outcome=outcome)  # from 0: Prometheus would not see the first one rise
        try:
            result = super().__call__(*args, **kwargs)
            outcome = "done"
        except DomainError as refusal:
            outcome = "refused"
            logger.info("%s refused: %s", self.name, refusal.message, extra={"task": self.name, **kwargs})
        except (OperationalError, InterfaceError, RedisUnavailable) as error:
            outcome = "unavailable"
            logger.warning("%s: %s", self.name, error, extra={"task": self.name, **kwargs})
        else:
            if result:
                logger.info("%s: %s", self.name, result, extra={"task": self.name, **kwargs})
            return result
        finally:
            outcomes.labels(task=self.name, outcome=outcome).inc()
            seconds.labels(task=self.name).observe(time.perf_counter() - started)
            current_request_id.reset(names[0])
            current_job_id.reset(names[1])
