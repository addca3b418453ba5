"""Celery's entry points: ids in, one service call, counts out."""

from uuid import UUID

from celery import shared_task

from seats import services


@shared_task
def update_statuses() -> int:
    return services.update_statuses()


@shared_task
def generate_seats_of(*, event_id: str) -> int:
    return services.generate_seats(event_id=UUID(event_id))


@shared_task
def generate_missing_seats() -> int:
    return services.generate_missing_seats()
