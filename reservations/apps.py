from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

USER_FOREIGN_KEY = """
DO $$ BEGIN
    IF to_regclass('auth_schema.users') IS NOT NULL
       AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'reservation_user' AND conrelid = 'reservations'::regclass)
    THEN
        ALTER TABLE reservations ADD CONSTRAINT reservation_user
            FOREIGN KEY (user_id) REFERENCES auth_schema.users (id);
    END IF;
END $$
"""


class ReservationsConfig(AppConfig):
    name = "reservations"
    verbose_name = _("Reservations")

    def ready(self) -> None:
        from reservations import checks, metrics  # noqa: F401 - importing them registers them

        post_migrate.connect(refer_to_users, sender=self)


def refer_to_users(using: str, **_: Any) -> None:
    """Adds the foreign key to the Auth Service's users where their table is in this database, whenever it came there."""
    connection = connections[using]
    if "reservations" in connection.introspection.table_names():
        with connection.cursor() as cursor:
            cursor.execute(USER_FOREIGN_KEY)
