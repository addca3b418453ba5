"""Celery's entry points: ids in, one service call, counts out."""

from celery import shared_task

from outbox import services


@shared_task
def deliver() -> dict[str, int]:
    return services.deliver()


@shared_task
def purge_messages() -> int:
    return services.purge_messages()
