"""System checks: the waiting room's settings are within the limits of an event's own policy."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from kernel.checks import STARTUP
from queueing.models import LIMITS
from queueing.selectors import DEFAULTS


@register(STARTUP)
def defaults_are_possible(**_: Any) -> list[CheckMessage]:
    limits = {DEFAULTS[column]: possible for column, possible in LIMITS.items()} | {"QUEUE_REBUILD_SECONDS": (0, 3_600)}
    return [
        Error(f"{name} must be from {least:,} to {most:,}.", id=f"ticketservice.E{number:03}")
        for number, (name, (least, most)) in enumerate(limits.items(), 10)
        if not least <= getattr(settings, name) <= most
    ]
