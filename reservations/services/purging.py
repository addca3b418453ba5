"""Purging idempotency keys that nobody may use any more."""

from reservations import idempotency

BATCH = 5000


def purge_idempotency_keys() -> int:
    """Deletes the keys that are older than a day, in batches. Returns how many. Idempotent."""
    total = 0
    while purged := idempotency.purge(limit=BATCH):
        total += purged
    return total
