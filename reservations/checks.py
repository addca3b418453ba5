"""System checks: the limits of a reservation."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from kernel.checks import STARTUP


@register(STARTUP)
def check_limits(**_: Any) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    if not 1 <= settings.MAX_SEATS_PER_RESERVATION <= 100:
        messages.append(Error("MAX_SEATS_PER_RESERVATION must be from 1 to 100.", id="ticketservice.E001"))
    if not 1 <= settings.RESERVATION_SECONDS <= 86_400:
        messages.append(Error("RESERVATION_SECONDS must be from 1 second to a day.", id="ticketservice.E002"))
    return messages
