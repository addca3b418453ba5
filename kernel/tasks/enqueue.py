"""How to ask for background work.

Nothing depends on a task for correctness: a task tidies up what is already right, and may run twice, late or never.
"""

import logging
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from kernel.observability.request_context import current_request_id

logger = logging.getLogger(__name__)

REQUEST_ID = "caused_by_request"  # a header of the message


def enqueue(job: str, *, at: datetime | None = None, expires: float | None = None, **parameters: Any) -> None:
    """Asks for a task by its name, at once or at a moment. Without a broker nothing happens: a sweep makes up for it."""
    cause = current_request_id.get()
    headers = {} if cause == "-" else {REQUEST_ID: cause}
    try:
        # Loaded where something is asked for: `realtime` never asks, and Celery takes 7 MB.
        import_string(settings.CELERY_APPLICATION).send_task(
            job, kwargs=parameters, eta=at, expires=expires, headers=headers, retry=False, ignore_result=True
        )
    except Exception as error:  # noqa: BLE001 - kombu raises whatever its transport does
        logger.warning("could not enqueue %s: %s", job, error)
