"""Events on sale, for the admin's first page."""

from typing import Any

from django.template import Library

from events import selectors
from reservations.statistics import count_by_state

MAX_EVENTS = 9
register = Library()


@register.simple_tag
def events_on_sale() -> list[dict[str, Any]]:
    """Events on sale with their counts by state, the latest sale start first. Two queries."""
    events = list(selectors.events_on_sale().order_by("-sale_start_date", "id")[:MAX_EVENTS])
    counts = count_by_state([event.id for event in events])
    return [{"event": event, "counts": counts[event.id]} for event in events]
