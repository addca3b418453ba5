"""Purging messages that are older than KEPT_DAYS, with their deliveries."""

from kernel.db.sql import fetch_one
from outbox.selectors import KEPT_DAYS

BATCH = 2000

# Only what lies before everything younger, so that a cursor that is kept has all messages after it. The newest position
# stays: the next one is counted from it, and a reader who has everything still has a cursor.
_PURGE = f"""
WITH purged AS MATERIALIZED (
    SELECT id FROM outbox_messages
    WHERE position < coalesce(
        (SELECT min(position) FROM outbox_messages WHERE created_at > now() - interval '{KEPT_DAYS} days'),
        (SELECT max(position) FROM outbox_messages)
    )
    ORDER BY position LIMIT %(limit)s
),
attempts AS (
    DELETE FROM outbox_attempts a USING outbox_deliveries d WHERE a.delivery_id = d.id
        AND d.message_id IN (SELECT id FROM purged)
),
deliveries AS (DELETE FROM outbox_deliveries WHERE message_id IN (SELECT id FROM purged)),
messages AS (DELETE FROM outbox_messages WHERE id IN (SELECT id FROM purged) RETURNING 1)
SELECT count(*) AS purged FROM messages
"""


def purge_messages() -> int:
    """Deletes them in batches. Returns how many. Idempotent."""
    total = 0
    while purged := fetch_one(_PURGE, {"limit": BATCH})["purged"]:
        total += purged
    return total
