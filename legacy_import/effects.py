"""What follows an import. Everything here is safe to lose."""

from collections.abc import Sequence
from uuid import UUID

from events.selectors import forget_event, forget_event_lists
from queueing import services as queueing
from seats import services as seats


def events_were_imported(*, event_ids: Sequence[UUID]) -> None:
    """Refreshes what was derived from the events while they still counted as ended."""
    for event_id in event_ids:
        forget_event(event_id)
        queueing.refresh_policy(event_id=event_id)
        seats.publish_map_changed(event_id=event_id)
    forget_event_lists()
