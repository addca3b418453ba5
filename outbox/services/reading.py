"""Reading the feed."""

from outbox import selectors
from outbox.selectors import FeedPage
from outbox.services.numbering import number_messages


def read_feed(*, after: int | None, limit: int) -> FeedPage:
    """A page of the feed. It has every message that has committed, whether or not a worker runs. Raises CursorGone."""
    number_messages()
    return selectors.feed_page(after=after, limit=limit)
