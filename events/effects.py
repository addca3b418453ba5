"""Effects of what happens to events. Everything here is safe to lose."""

from uuid import UUID

from events.funnel import count_view
from events.metrics import event_views
from events.search.fruitless import note_fruitless_search
from events.search.index import index_out_of_date
from events.selectors import MAX_INDEXED, forget_event_lists
from kernel.db.sql import after_commit


def event_was_viewed(event_id: UUID) -> None:
    """Call only for events that exist, since each becomes a time series."""
    event_views.labels(event_id=str(event_id)).inc()
    count_view(event_id)


def search_found_nothing(text: str) -> None:
    """Noted for organisers. The answer does not depend on it: it may come from Redis while PostgreSQL is away."""
    after_commit(note_fruitless_search, text=text)


def keywords_were_changed() -> None:
    """Events that have these names are found by others now. If there are very many, the task indexes the rest."""
    index_out_of_date(limit=MAX_INDEXED)
    forget_event_lists()
