"""System checks: the settings of webhooks."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from kernel.checks import STARTUP

LIMITS = {
    "WEBHOOK_TIMEOUT_SECONDS": (0.1, 60),
    "WEBHOOK_FIRST_PAUSE_SECONDS": (0.1, 3_600),
    "WEBHOOK_MAX_PAUSE_SECONDS": (0.1, 86_400),
    "WEBHOOK_GIVE_UP_SECONDS": (1, 7 * 86_400),  # messages are not kept for longer
}


@register(STARTUP)
def check_webhook_settings(**_: Any) -> list[CheckMessage]:
    return [
        Error(f"{name} must be from {least:,} to {most:,}.", id=f"ticketservice.E{number:03}")
        for number, (name, (least, most)) in enumerate(LIMITS.items(), 50)
        if not least <= getattr(settings, name) <= most
    ]
