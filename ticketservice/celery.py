"""The Celery application of `worker` and `beat`.

It has four queues: `admission` for the waiting room, which needs only Redis and continues without PostgreSQL; `ticks` for
the other tasks of every second; `webhooks` for sending webhooks and mail; `work` for everything else. `manage.py worker`
runs a worker process for each, so that a slow task never delays those of every second.
"""

import logging
import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, setup_logging
from django.conf import settings

logger = logging.getLogger(__name__)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketservice.settings")

app = Celery("ticketservice", task_cls="kernel.tasks.base:InstrumentedTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    # The message of a worker that dies is delivered again after `visibility_timeout`. This must be longer than any task may
    # run, and than the farthest `eta` of a task, or tasks would be delivered twice.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={
        "visibility_timeout": 300,
        "socket_connect_timeout": 1,
        "socket_timeout": 5,
        "socket_keepalive": True,
    },
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_channel_error_retry=True,  # Redis that refuses commands is away, too: connect again instead of ending the worker
    worker_consumer="kernel.tasks.consumer:Consumer",
    beat_scheduler="kernel.tasks.beat:Scheduler",
    task_ignore_result=True,
    task_soft_time_limit=110,
    task_time_limit=120,
    task_default_queue="work",
    task_routes={
        "queueing.tasks.admit": {"queue": "admission"},
        "reservations.tasks.sweep": {"queue": "ticks"},
        "seats.tasks.update_statuses": {"queue": "ticks"},
        "outbox.tasks.deliver": {"queue": "webhooks"},
        "mail.tasks.send_mails": {"queue": "webhooks"},
    },
    worker_send_task_events=False,
    worker_enable_remote_control=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    timezone="UTC",
    # `expires` is shorter than the period: a run that could not start before the next one is due is dropped.
    beat_schedule={
        "admit": {"task": "queueing.tasks.admit", "schedule": 1.0, "options": {"expires": 0.9}},
        "sweep": {"task": "reservations.tasks.sweep", "schedule": 1.0, "options": {"expires": 0.9}},
        "deliver": {"task": "outbox.tasks.deliver", "schedule": 1.0, "options": {"expires": 0.9}},
        "update-statuses": {"task": "seats.tasks.update_statuses", "schedule": 60.0, "options": {"expires": 50}},
        "generate-missing-seats": {
            "task": "seats.tasks.generate_missing_seats",
            "schedule": 60.0,
            "options": {"expires": 50},
        },
        "release-cancelled-events": {
            "task": "reservations.tasks.release_cancelled_events",
            "schedule": 60.0,
            "options": {"expires": 50},
        },
        "purge-idempotency-keys": {
            "task": "reservations.tasks.purge_idempotency_keys",
            "schedule": 3600.0,
            "options": {"expires": 3500},
        },
        "purge-messages": {"task": "outbox.tasks.purge_messages", "schedule": 3600.0, "options": {"expires": 3500}},
        "purge-contacts": {"task": "mail.tasks.purge", "schedule": 3600.0, "options": {"expires": 3500}},
        "index-search": {"task": "events.tasks.index_search", "schedule": 5.0, "options": {"expires": 4.5}},
        "audit": {"task": "reservations.tasks.audit", "schedule": 600.0, "options": {"expires": 550}},
    },
)


@app.on_after_configure.connect
def schedule_mail(source: Any, **_: Any) -> None:
    """Here the settings are known; a process whose settings are refused could not say so while this module is imported."""
    # Where mail is off, it ends the recording of messages for it, if they were recorded until now.
    seconds = 1.0 if settings.MAIL_ENABLED else 60.0
    source.beat_schedule["send-mails"] = {
        "task": "mail.tasks.send_mails",
        "schedule": seconds,
        "options": {"expires": 0.9 * seconds},
    }


app.autodiscover_tasks()


@setup_logging.connect
def keep_django_logging(**_: Any) -> None:
    """Do nothing. With a receiver of this signal, Celery does not replace Django's logging configuration."""


@beat_init.connect
def log_start(sender: Any, **_: Any) -> None:
    logger.info("beat runs %d periodic tasks", len(sender.scheduler.schedule))
