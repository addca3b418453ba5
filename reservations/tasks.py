"""Celery's entry points: ids in, one service call, counts out."""

from uuid import UUID

from celery import shared_task

from reservations import effects, services


@shared_task
def sweep() -> dict[str, int]:
    return services.sweep()


@shared_task
def release_cancelled_events() -> int:
    return services.release_cancelled_events()


@shared_task
def purge_idempotency_keys() -> int:
    return services.purge_idempotency_keys()


@shared_task
def change_layout(*, event_id: str, layout_id: str | None) -> None:
    services.change_layout_in_background(event_id=UUID(event_id), layout_id=UUID(layout_id) if layout_id else None)


@shared_task
def audit() -> dict[str, int]:
    result = services.audit()
    effects.audit_was_made(result)
    return {outcome.check: outcome.count for outcome in result.violations}
