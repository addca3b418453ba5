"""Celery's entry point."""

from celery import shared_task

from events.services.searching import index_changes


@shared_task
def index_search() -> int:
    return index_changes()
