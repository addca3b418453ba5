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
    if not 1 <= settings.MAX_TICKETS_PER_BUYER <= 10_000:
        messages.append(Error("MAX_TICKETS_PER_BUYER must be from 1 to 10000.", id="ticketservice.E020"))
    if settings.RELOCK_SECONDS < 0:
        messages.append(Error("RELOCK_SECONDS must not be negative.", id="ticketservice.E021"))
    longest = settings.UNPAID_HOLD_SECONDS
    if longest and not settings.RESERVATION_SECONDS <= longest < settings.UNPAID_HOLD_WINDOW_SECONDS:
        problem = "UNPAID_HOLD_SECONDS must be 0, or from RESERVATION_SECONDS to less than UNPAID_HOLD_WINDOW_SECONDS."
        messages.append(Error(problem, id="ticketservice.E022"))
    messages += [
        Error(f"{name} must be from 1 second to a day.", id="ticketservice.E041")
        for name in ("PAYMENT_SECONDS", "PAYMENT_RETRY_SECONDS")
        if not 1 <= getattr(settings, name) <= 86_400
    ]
    if not settings.RESERVATION_SECONDS <= settings.HOLD_MAX_SECONDS <= 86_400:
        messages.append(Error("HOLD_MAX_SECONDS must be from RESERVATION_SECONDS to a day.", id="ticketservice.E042"))
    if not 0 <= settings.LATE_PAYMENT_SECONDS <= 86_400:
        messages.append(Error("LATE_PAYMENT_SECONDS must be from 0 to a day.", id="ticketservice.E043"))
    if not 1 <= settings.OFFER_SECONDS <= min(settings.UNPAID_HOLD_SECONDS or 86_400, settings.HOLD_MAX_SECONDS):
        problem = (
            "OFFER_SECONDS must be from 1 second to HOLD_MAX_SECONDS, and to UNPAID_HOLD_SECONDS if that is not 0."
        )
        messages.append(Error(problem, id="ticketservice.E045"))
    if not 0 <= settings.CANCELLATION_HOURS <= 8760:
        messages.append(Error("CANCELLATION_HOURS must be from 0 to a year.", id="ticketservice.E044"))
    return messages
