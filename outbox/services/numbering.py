"""Numbering messages after their commit, and handing them to the subscribers."""

from django.db import transaction

from kernel.db.sql import fetch_all, fetch_one

BATCH = 2000

# An identity or a transaction's id is given before the commit: a reader who has seen 7 would skip 6, which commits later.
# Positions are given to messages that have committed, by one process at a time, so that a position that is visible has all
# smaller ones before it. Within a batch `id` is the order: whoever inserted a subject's next message held its row, so the
# earlier message has committed, and is seen here at the latest together with the next one.
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('outbox_messages.position')) IS NULL AS locked"
_ANY = "SELECT EXISTS (SELECT FROM outbox_messages WHERE position IS NULL) AS found"
_NUMBER = """
WITH last AS MATERIALIZED (SELECT coalesce(max(position), 0) AS position FROM outbox_messages),
batch AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY id) AS place
    FROM (SELECT id FROM outbox_messages WHERE position IS NULL ORDER BY id LIMIT %(limit)s) unnumbered
),
numbered AS (
    UPDATE outbox_messages m SET position = last.position + batch.place FROM batch, last WHERE m.id = batch.id
    RETURNING m.id, m.kind, m.subject_id, m.position
),
handed AS (
    INSERT INTO outbox_deliveries (subscriber_id, message_id, subject_id, position)
    SELECT s.id, n.id, n.subject_id, n.position FROM numbered n
    JOIN outbox_subscribers s ON s.is_active AND s.url <> '' AND n.kind = ANY(s.kinds)
)
SELECT count(*) AS numbered FROM numbered
"""


def number_messages() -> int:
    """Numbers all messages that have committed, and creates their deliveries. Returns how many. Safe at once anywhere."""
    if not fetch_one(_ANY, {})["found"]:
        return 0
    total = 0
    while numbered := _number_batch():
        total += numbered
        if numbered < BATCH:
            break
    return total


def _number_batch() -> int:
    with transaction.atomic():
        fetch_all(_LOCK, {})  # a statement of its own: the next one sees what was numbered before it got the lock
        numbered: int = fetch_one(_NUMBER, {"limit": BATCH})["numbered"]
        return numbered
