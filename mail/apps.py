from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MailConfig(AppConfig):
    name = "mail"
    verbose_name = _("Mail to buyers")

    def ready(self) -> None:
        from mail import checks, metrics  # noqa: F401 - registers what is checked and scraped
