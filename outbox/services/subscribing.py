"""Operations on subscribers and deliveries, for the admin."""

import base64
import secrets
from uuid import UUID

from kernel.db.sql import fetch_all, fetch_one

SECRET_BYTES = 32
ROTATION_HOURS = 24  # for which the previous secret signs, too

_ROTATE = f"""
UPDATE outbox_subscribers SET previous_secret = secret, secret = %(secret)s,
    previous_valid_until = now() + interval '{ROTATION_HOURS} hours', updated_at = now()
WHERE id = %(subscriber_id)s
"""

# What has waited is due at once, and has as long as a new message before it is given up.
_RESUME = """
WITH resumed AS (
    UPDATE outbox_subscribers SET paused_at = NULL, failing_since = NULL, failures = 0, not_before = NULL, updated_at = now()
    WHERE id = %(subscriber_id)s AND paused_at IS NOT NULL RETURNING id
),
due AS (
    UPDATE outbox_deliveries d SET next_attempt_at = now(), pending_since = now() FROM resumed r
    WHERE d.subscriber_id = r.id AND d.status = 'pending' RETURNING 1
)
SELECT count(*) AS due FROM due
"""

_SEND_AGAIN = """
UPDATE outbox_deliveries SET status = 'pending', attempts = 0, next_attempt_at = now(), pending_since = now(),
    delivered_at = NULL
WHERE id = %(delivery_id)s
"""


def new_secret() -> str:
    """A signing secret, as the Standard Webhooks specification writes it."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def rotate_secret(*, subscriber_id: UUID) -> str:
    """Gives the subscriber a new secret, and returns it. The previous one signs for ROTATION_HOURS more."""
    secret = new_secret()
    fetch_all(_ROTATE, {"subscriber_id": subscriber_id, "secret": secret})
    return secret


def resume_subscriber(*, subscriber_id: UUID) -> int:
    """Ends a pause. Returns how many deliveries have waited. Idempotent."""
    due: int = fetch_one(_RESUME, {"subscriber_id": subscriber_id})["due"]
    return due


def send_again(*, delivery_id: int) -> None:
    """Lets a message be sent once more, delivered or not. Later ones of its subject wait for it."""
    fetch_all(_SEND_AGAIN, {"delivery_id": delivery_id})
