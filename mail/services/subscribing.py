"""Whether messages are recorded for mail: while a subscriber of the outbox says so, and the settings decide that."""

from uuid import UUID

from kernel.db.sql import fetch_all
from outbox.models import MessageKind

SUBSCRIBER = UUID("6d61696c-0000-4000-8000-000000000001")
NAME = "Mail to buyers of this service"
KINDS = [
    MessageKind.RESERVATION_CONFIRMED.value,
    MessageKind.RESERVATION_CANCELLED.value,
    MessageKind.RESERVATION_REFUND_DUE.value,
    MessageKind.RESERVATION_REFUNDED.value,
    MessageKind.EVENT_MOVED.value,
    MessageKind.WAITLIST_OFFERED.value,
]

# Whoever was away for a time is not written to about what has happened meanwhile: reading begins with the newest message.
_SUBSCRIBE = """
WITH before AS MATERIALIZED (SELECT is_active FROM outbox_subscribers WHERE id = %(id)s FOR UPDATE),
subscriber AS (
    INSERT INTO outbox_subscribers AS s (id, name, kinds, secret, is_internal)
    VALUES (%(id)s, %(name)s, %(kinds)s::varchar[], '', true)
    ON CONFLICT (id) DO UPDATE SET kinds = excluded.kinds, is_active = true, updated_at = now()
),
newest AS (SELECT coalesce(max(position), 0) AS position FROM outbox_messages)
INSERT INTO mail_progress AS p (id, position) SELECT 1, position FROM newest
ON CONFLICT (id) DO UPDATE SET position = excluded.position WHERE NOT EXISTS (SELECT FROM before WHERE is_active)
"""

_UNSUBSCRIBE = "UPDATE outbox_subscribers SET is_active = false, updated_at = now() WHERE id = %(id)s AND is_active"


def subscribe() -> None:
    """From now on messages are recorded. Idempotent."""
    fetch_all(_SUBSCRIBE, {"id": SUBSCRIBER, "name": NAME, "kinds": KINDS})


def unsubscribe() -> None:
    """From now on none are recorded for mail. Idempotent."""
    fetch_all(_UNSUBSCRIBE, {"id": SUBSCRIBER})
