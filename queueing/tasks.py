"""Celery's entry points: ids in, one service call, counts out."""

from uuid import UUID

from celery import shared_task

from queueing import services


@shared_task
def admit() -> dict[str, int]:
    return services.admit_next()


@shared_task
def refresh_policy(*, event_id: str) -> None:
    services.refresh_policy(event_id=UUID(event_id))


@shared_task
def record_draw(*, event_id: str) -> int:
    return services.record_draw(event_id=UUID(event_id))
