"""System checks: the waiting room's settings are within the limits of an event's own policy."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from kernel.checks import STARTUP
from queueing.challenges import SHIPPED, join_challenge
from queueing.models import LIMITS
from queueing.selectors import DEFAULTS


@register(STARTUP)
def challenge_is_possible(**_: Any) -> list[CheckMessage]:
    name = settings.JOIN_CHALLENGE
    faults = []
    try:
        join_challenge()
    except (ImportError, TypeError) as error:
        faults.append((f"JOIN_CHALLENGE is {name!r}: {error}", f"It is one of {', '.join(SHIPPED)}, or a dotted path."))
    if name == "turnstile" and not (settings.TURNSTILE_SITE_KEY and settings.TURNSTILE_SECRET_KEY):
        faults.append(
            (
                "JOIN_CHALLENGE is turnstile, and its keys are missing.",
                "Set TURNSTILE_SITE_KEY and TURNSTILE_SECRET_KEY.",
            )
        )
    if not 1 <= settings.PROOF_OF_WORK_COST <= 1_000_000 or not 10 <= settings.JOIN_CHALLENGE_SECONDS <= 86_400:
        faults.append(("PROOF_OF_WORK_COST is from 1 to 1,000,000, JOIN_CHALLENGE_SECONDS from 10 to 86,400.", ""))
    return [Error(message, hint=hint or None, id="ticketservice.E030") for message, hint in faults]


@register(STARTUP)
def defaults_are_possible(**_: Any) -> list[CheckMessage]:
    limits = {DEFAULTS[column]: possible for column, possible in LIMITS.items()} | {"QUEUE_REBUILD_SECONDS": (0, 3_600)}
    return [
        Error(f"{name} must be from {least:,} to {most:,}.", id=f"ticketservice.E{number:03}")
        for number, (name, (least, most)) in enumerate(limits.items(), 10)
        if not least <= getattr(settings, name) <= most
    ]
