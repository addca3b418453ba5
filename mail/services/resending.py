"""Sending a mail again, for the admin."""

from kernel.db.sql import fetch_all

_SEND_AGAIN = """
UPDATE mails SET status = 'pending', next_attempt_at = now(), pending_since = now(), sent_at = NULL,
    error = ''
WHERE id = %(mail_id)s AND status <> 'sending'
"""


def send_again(*, mail_id: int) -> None:
    """Lets a mail be sent once more, with the same Message-ID, to the address that is known now."""
    fetch_all(_SEND_AGAIN, {"mail_id": mail_id})
