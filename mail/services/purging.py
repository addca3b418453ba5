"""Purging contacts and mails that are older than MAIL_RETENTION_DAYS."""

from django.conf import settings

from kernel.db.sql import fetch_one

BATCH = 1000

# A buyer is written to until the last event is over for so long, while a refund is due, and while waiting for places.
_CONTACTS = """
WITH purged AS (
    DELETE FROM contacts WHERE user_id IN (
        SELECT c.user_id FROM contacts c
        WHERE c.used_at < now() - make_interval(days => %(days)s) AND NOT EXISTS (
            SELECT FROM reservations r LEFT JOIN events e ON e.id = r.event_id
            WHERE r.user_id = c.user_id AND (
                r.updated_at >= now() - make_interval(days => %(days)s)
                OR (r.status IN ('pending', 'confirmed') AND e.event_date >= now() - make_interval(days => %(days)s))
                OR EXISTS (SELECT FROM refunds f WHERE f.reservation_id = r.id AND f.done_at IS NULL)
            )
        ) AND NOT EXISTS (SELECT FROM waitlist_entries w WHERE w.user_id = c.user_id AND w.status = 'waiting')
        LIMIT %(limit)s FOR UPDATE OF c SKIP LOCKED
    )
    RETURNING 1
)
SELECT count(*) AS purged FROM purged
"""

_MAILS = """
WITH purged AS (
    DELETE FROM mails WHERE id IN (
        SELECT id FROM mails
        WHERE created_at < now() - make_interval(days => %(days)s) AND status NOT IN ('pending', 'sending')
        ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )
    RETURNING 1
)
SELECT count(*) AS purged FROM purged
"""


def purge() -> dict[str, int]:
    """Deletes them in batches, whether mail is on or off. Returns the counts that are not 0. Idempotent."""
    wanted = {"days": settings.MAIL_RETENTION_DAYS, "limit": BATCH}
    counts = {"contacts": 0, "mails": 0}
    for name, statement in (("contacts", _CONTACTS), ("mails", _MAILS)):
        while purged := fetch_one(statement, wanted)["purged"]:
            counts[name] += purged
    return {name: count for name, count in counts.items() if count}
