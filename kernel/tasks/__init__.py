"""Celery: the base of all tasks, and how they are enqueued."""
