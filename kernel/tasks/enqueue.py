"""Enqueues Celery tasks by name.

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


def enqueue(task: str, *, at: datetime | None = None, expires: float | None = None, **parameters: Any) -> None:
    """Enqueue a task, to run at once or `at` a moment. It is dropped if it has not started after `expires` seconds.

    If the broker is unavailable, this is logged, and a periodic sweep does the work later.
    """
    request_id = current_request_id.get()
    headers = {} if request_id == "-" else {REQUEST_ID: request_id}
    try:
        # Imported at the first use: Celery takes 7 MB, and `realtime` never enqueues anything.
        import_string(settings.CELERY_APPLICATION).send_task(
            task, kwargs=parameters, eta=at, expires=expires, headers=headers, retry=False, ignore_result=True
        )
    except Exception as error:  # noqa: BLE001 - kombu raises whatever its transport raises
        logger.warning("could not enqueue %s: %s", task, error)
