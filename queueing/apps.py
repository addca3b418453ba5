from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class QueueingConfig(AppConfig):
    name = "queueing"
    verbose_name = _("Waiting room")

    def ready(self) -> None:
        from queueing import metrics  # noqa: F401 - registers what is scraped
