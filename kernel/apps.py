import logging
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db import connections
from django.db.models.signals import pre_migrate


class KernelConfig(AppConfig):
    name = "kernel"

    def ready(self) -> None:
        from kernel import checks  # noqa: F401 - importing it registers the checks

        logging.captureWarnings(capture=True)  # in the format of the log
        pre_migrate.connect(create_schema)


def create_schema(using: str, **_: Any) -> None:
    """Create the schema. Runs before `migrate` creates its first table, django_migrations."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT to_regnamespace(%s) IS NOT NULL", [settings.DATABASE_SCHEMA])
        if not cursor.fetchone()[0]:
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {settings.DATABASE_SCHEMA}")
