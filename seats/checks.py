"""System checks: the name of a sold seat in the seat map."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from kernel.checks import STARTUP


@register(STARTUP)
def check_wire_value(**_: Any) -> list[CheckMessage]:
    if settings.SOLD_SEAT_WIRE_VALUE in ("sold", "reserved"):
        return []
    return [Error("SOLD_SEAT_WIRE_VALUE must be 'sold' or 'reserved'.", id="ticketservice.E004")]
