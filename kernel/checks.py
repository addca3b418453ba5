"""System checks: settings whose faults would otherwise show only under load, or on the day of a sale."""

import logging
import re
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, register, run_checks
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured

logger = logging.getLogger(__name__)

STARTUP = "startup"  # the tag of checks that processes also run before they serve


@register(STARTUP)
def check_settings(**_: Any) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    if 0 < settings.STATEMENT_TIMEOUT_MS < settings.LOCK_TIMEOUT_MS:
        messages.append(
            Error(
                "STATEMENT_TIMEOUT_MS is shorter than LOCK_TIMEOUT_MS.",
                hint="A wait for a row lock would end as a slow statement, which hides the cause.",
                id="ticketservice.E003",
            )
        )
    if settings.VENUE_TIME_ZONE not in available_timezones():
        messages.append(Error("VENUE_TIME_ZONE must name a time zone, such as Asia/Seoul.", id="ticketservice.E005"))
    url = urlsplit(settings.REALTIME_URL)
    is_port = re.fullmatch(r":\d{1,5}", settings.REALTIME_URL)
    is_url = url.scheme in ("ws", "wss", "http", "https") and url.netloc
    if settings.REALTIME_URL and not (is_port or is_url):
        messages.append(
            Error(
                "REALTIME_URL must look like wss://live.example.org, or :8001 for a port of the same host.",
                id="ticketservice.E006",
            )
        )
    return messages


def raise_for_invalid_settings() -> None:
    """Run the startup checks, which server processes do not run by themselves. Raises ImproperlyConfigured.

    What may be intended, such as a missing INTERNAL_API_TOKEN, is only logged.
    """
    raise_check_errors(STARTUP)
    if not settings.DEBUG:
        for message in check_deployment():
            logger.log(message.level, "%s", message.msg)


def raise_check_errors(tag: str) -> None:
    """Raise ImproperlyConfigured for the first message of the checks with this tag, silenced or not."""
    for message in run_checks(tags=[tag]):
        raise ImproperlyConfigured(str(message.msg))


@register(Tags.security, deploy=True)
def check_deployment(**_: Any) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    if not settings.INTERNAL_API_TOKEN:
        messages.append(
            CheckWarning(
                "INTERNAL_API_TOKEN is not set: payments cannot be confirmed.",
                hint="Set it to a long random string, the same one as for the payment service.",
                id="ticketservice.W001",
            )
        )
    elif len(settings.INTERNAL_API_TOKEN) < 24:
        messages.append(CheckWarning("INTERNAL_API_TOKEN has fewer than 24 characters.", id="ticketservice.W002"))
    if not settings.CORS_ALLOWED_ORIGINS:
        messages.append(
            Info(
                "CORS_ORIGINS is not set: browsers on pages of other origins can read, but not buy.",
                hint="Set it to the origins of the web clients, unless they have the same origin as this service.",
                id="ticketservice.I001",
            )
        )
    return messages
