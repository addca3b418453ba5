from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OutboxConfig(AppConfig):
    name = "outbox"
    verbose_name = _("Messages to other services")

    def ready(self) -> None:
        from outbox import checks, metrics  # noqa: F401 - registers what is checked and scraped
