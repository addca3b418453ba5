"""Operations on messages, a file per verb. Recording them is part of other apps' statements: `outbox.sql`."""

from outbox.services.delivering import deliver
from outbox.services.numbering import number_messages
from outbox.services.purging import purge_messages
from outbox.services.reading import read_feed
from outbox.services.subscribing import new_secret, resume_subscriber, rotate_secret, send_again

__all__ = [
    "deliver",
    "new_secret",
    "number_messages",
    "purge_messages",
    "read_feed",
    "resume_subscriber",
    "rotate_secret",
    "send_again",
]
