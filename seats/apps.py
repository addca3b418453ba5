from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SeatsConfig(AppConfig):
    name = "seats"
    verbose_name = _("Seats")

    def ready(self) -> None:
        from seats import checks, metrics  # noqa: F401 - importing them registers them
