"""The composition root: settings, urls, processes. Knows everybody; nobody imports it."""

from ticketservice.celery import app as celery_app

__all__ = ["celery_app"]
