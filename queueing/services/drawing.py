"""Recording draws in PostgreSQL."""

from uuid import UUID

from django.db.models.functions import Now

from queueing import draws, store
from queueing.models import QueueDraw
from queueing.selectors import microseconds, policy_of


def record_draw(*, event_id: UUID) -> int:
    """Makes the draw durable, which also publishes its seed. Idempotent. Returns the number of participants.

    A draw for an opening that was moved meanwhile does not count: another one will be held.
    """
    opening, participants = store.unrecorded_draw(event_id)
    if not opening:
        return 0
    if opening == microseconds(policy_of(event_id).opens_at):
        codes = b"".join(draws.code(event_id, user_id) for user_id in participants)
        QueueDraw.objects.filter(event_id=event_id, drawn_at__isnull=True).update(participants=codes, drawn_at=Now())
    store.forget_recorded_draw(event_id)
    return len(participants)
