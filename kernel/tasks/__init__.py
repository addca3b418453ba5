"""Celery: the base class of all tasks, and how to enqueue them."""
