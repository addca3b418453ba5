"""The connection of a Celery worker to its broker."""

import time

from celery.worker.consumer import Consumer as CeleryConsumer

RETRY_SECONDS = 0.5


class Consumer(CeleryConsumer):
    """Celery's, but it waits before it connects again.

    A broker that refuses commands accepts connections, so that Celery would try many times a second.
    """

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        super().on_connection_error_before_connected(exc)
        time.sleep(RETRY_SECONDS)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        super().on_connection_error_after_connected(exc)
        time.sleep(RETRY_SECONDS)
