"""Effects of what happens to events. Everything here is safe to lose."""

from uuid import UUID

from events.funnel import count_view
from events.metrics import event_views
from events.selectors import forget_event_lists


def event_was_viewed(event_id: UUID) -> None:
    """Call only for events that exist, since each becomes a time series."""
    event_views.labels(event_id=str(event_id)).inc()
    count_view(event_id)


def keywords_were_changed() -> None:
    """Any cached list of a search may have other events now."""
    forget_event_lists()
