"""Celery's entry points: ids in, one service call, counts out."""

from celery import shared_task
from django.conf import settings

from mail import services


@shared_task
def send_mails() -> dict[str, int]:
    if settings.MAIL_ENABLED:
        return services.send_mails()
    services.unsubscribe()
    return {}


@shared_task
def purge() -> dict[str, int]:
    return services.purge()
