"""Recording draws in PostgreSQL."""

from uuid import UUID

from kernel.db.sql import fetch_all
from outbox import sql as outbox
from outbox.models import MessageKind
from queueing import draws, store
from queueing.selectors import microseconds, policy_of

_HELD = outbox.record(
    "drawn d",
    kinds=outbox.kinds(MessageKind.QUEUE_DRAW_HELD),
    subject="d.event_id",
    event="d.event_id",
    data="""jsonb_build_object(
        'eventId', d.event_id, 'drawnAt', d.drawn_at, 'participants', %(count)s::integer)""",
)

_RECORD = f"""
WITH drawn AS (
    UPDATE queue_draws SET participants = %(participants)s, drawn_at = now()
    WHERE event_id = %(event_id)s AND drawn_at IS NULL
    RETURNING event_id, drawn_at
),
{_HELD}
SELECT FROM drawn
"""


def record_draw(*, event_id: UUID) -> int:
    """Makes the draw durable, which also publishes its seed. Idempotent. Returns the number of participants.

    A draw for an opening that was moved meanwhile does not count: another one will be held.
    """
    opening, participants = store.unrecorded_draw(event_id)
    if not opening:
        return 0
    if opening == microseconds(policy_of(event_id).opens_at):
        codes = b"".join(draws.code(event_id, user_id) for user_id in participants)
        fetch_all(_RECORD, {"event_id": event_id, "participants": codes, "count": len(participants)})
    store.forget_recorded_draw(event_id)
    return len(participants)
