from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class QueueingConfig(AppConfig):
    name = "queueing"
    verbose_name = _("Waiting room")

    def ready(self) -> None:
        from queueing import checks, metrics  # noqa: F401 - checks, and what is scraped, register themselves
