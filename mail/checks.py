"""System checks: the settings of mail."""

from email.utils import parseaddr
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from kernel.checks import STARTUP

LIMITS = {
    "MAIL_FIRST_PAUSE_SECONDS": (0.1, 3_600),
    "MAIL_MAX_PAUSE_SECONDS": (0.1, 86_400),
    "MAIL_GIVE_UP_SECONDS": (1, 30 * 86_400),
    "MAIL_RETENTION_DAYS": (1, 3_650),
    "EMAIL_TIMEOUT": (1, 60),
}


@register(STARTUP)
def check_mail_settings(**_: Any) -> list[CheckMessage]:
    messages: list[CheckMessage] = [
        Error(f"{name} must be from {least:,} to {most:,}.", id=f"ticketservice.E{number:03}")
        for number, (name, (least, most)) in enumerate(LIMITS.items(), 60)
        if not least <= getattr(settings, name) <= most
    ]
    if settings.MAIL_ENABLED and not _is_address(settings.MAIL_FROM):
        messages.append(
            Error(
                "MAIL_FROM must be an e-mail address, such as Tickets <tickets@example.org>, if EMAIL_URL or EMAIL_BACKEND"
                " is set.",
                id="ticketservice.E065",
            )
        )
    if settings.MAIL_REPLY_TO and not _is_address(settings.MAIL_REPLY_TO):
        messages.append(Error("MAIL_REPLY_TO must be an e-mail address.", id="ticketservice.E066"))
    url = urlsplit(settings.MAIL_RESERVATION_URL)
    if settings.MAIL_RESERVATION_URL and not (url.scheme in ("https", "http") and url.netloc):
        messages.append(
            Error(
                "MAIL_RESERVATION_URL must look like https://tickets.example.org/reservations/{id}.",
                id="ticketservice.E067",
            )
        )
    return messages


def _is_address(value: str) -> bool:
    try:
        validate_email(parseaddr(value)[1])
    except ValidationError:
        return False
    return value.isprintable()
