import logging
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import cache, signals
from django.db import close_old_connections, connections, reset_queries
from django.db.models.signals import pre_migrate


class KernelConfig(AppConfig):
    name = "kernel"

    def ready(self) -> None:
        from kernel import checks  # noqa: F401 - registers itself

        logging.captureWarnings(capture=True)  # into the log, in its format
        pre_migrate.connect(create_schema)
        tidy_up_quickly()


def create_schema(using: str, **_: Any) -> None:
    """Creates the schema before Django writes its first table, the migrations table included."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT to_regnamespace(%s) IS NOT NULL", [settings.DATABASE_SCHEMA])
        if not cursor.fetchone()[0]:
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {settings.DATABASE_SCHEMA}")


def tidy_up_quickly() -> None:
    """After a request, only what there is to do here: connections go back to the pool.

    Django's own receivers take as long as an empty view does: they look for connections before each request, too, for
    caches that want to be closed, and for queries that DEBUG has noted.
    """
    signals.request_started.disconnect(close_old_connections)
    signals.request_finished.disconnect(cache.close_caches)
    if not settings.DEBUG:
        signals.request_started.disconnect(reset_queries)
