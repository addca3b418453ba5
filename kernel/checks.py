"""System checks: relations between settings that would bite only under load, or only on the day of the sale."""

import logging
import re
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register, run_checks
from django.core.checks import Warning as Warned
from django.core.exceptions import ImproperlyConfigured

logger = logging.getLogger(__name__)

POSSIBLE = "possible"  # the tag of checks that processes make, too, before they serve


@register(POSSIBLE)
def settings_are_possible(**_: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if not 1 <= settings.MAX_SEATS_PER_RESERVATION <= 100:
        found.append(Error("MAX_SEATS_PER_RESERVATION must be from 1 to 100.", id="ticketservice.E001"))
    if not 1 <= settings.RESERVATION_SECONDS <= 86_400:
        found.append(Error("RESERVATION_SECONDS must be from 1 second to a day.", id="ticketservice.E002"))
    if 0 < settings.STATEMENT_TIMEOUT_MS < settings.LOCK_TIMEOUT_MS:
        found.append(
            Error(
                "STATEMENT_TIMEOUT_MS is shorter than LOCK_TIMEOUT_MS.",
                hint="Then a wait for a row ends as a statement that was too slow, which hides the cause.",
                id="ticketservice.E003",
            )
        )
    if settings.SOLD_SEAT_WIRE_VALUE not in ("sold", "reserved"):
        found.append(Error("SOLD_SEAT_WIRE_VALUE must be 'sold' or 'reserved'.", id="ticketservice.E004"))
    if settings.VENUE_TIME_ZONE not in available_timezones():
        found.append(Error("VENUE_TIME_ZONE must name a time zone, such as Asia/Seoul.", id="ticketservice.E005"))
    place = urlsplit(settings.REALTIME_URL)
    is_port = re.fullmatch(r":\d{1,5}", settings.REALTIME_URL)
    is_address = place.scheme in ("ws", "wss", "http", "https") and place.netloc
    if settings.REALTIME_URL and not (is_port or is_address):
        found.append(
            Error(
                "REALTIME_URL must look like wss://live.example.org, or :8001 for a port of the same host.",
                id="ticketservice.E006",
            )
        )
    return found


def refuse_impossible_settings() -> None:
    """For processes that serve, which run no checks. Raises ImproperlyConfigured; only warns of what can be meant."""
    refuse_errors_of(POSSIBLE)
    if not settings.DEBUG:
        for problem in production_is_reachable():
            logger.warning("%s", problem.msg)


def refuse_errors_of(tag: str) -> None:
    """Raises ImproperlyConfigured for the first thing that the checks with this tag find, silenced or not."""
    for problem in run_checks(tags=[tag]):
        raise ImproperlyConfigured(str(problem.msg))


@register(Tags.security, deploy=True)
def production_is_reachable(**_: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if not settings.INTERNAL_API_TOKEN:
        found.append(
            Warned(
                "INTERNAL_API_TOKEN is not set: no payment can be confirmed.",
                hint="Set it to a long random string, the same for the payment service.",
                id="ticketservice.W001",
            )
        )
    elif len(settings.INTERNAL_API_TOKEN) < 24:
        found.append(Warned("INTERNAL_API_TOKEN has fewer than 24 characters.", id="ticketservice.W002"))
    return found
