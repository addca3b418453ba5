"""Signed queue passes and queue tickets, which clients keep: a pass proves an admission, a ticket a position.

Neither is needed while Redis answers: it says who waits and who is active. A pass lets its user buy while Redis does not
answer, and both restore what their users had after Redis has lost everything. They are valid for one user and one event,
and contain no secret. Format: `{epoch}.{issued}.{value}~{signature}`, signed with SECRET_KEY, verified with
SECRET_KEY_FALLBACKS, too.
"""

import hashlib
import hmac
from functools import lru_cache
from uuid import UUID

from django.conf import settings

from kernel.wire import base64url
from queueing.states import QueuePass, QueueState, QueueTicket

MAX_LENGTH = 200  # characters; nothing of ours is longer
FIRST_MOMENT = 2**50  # a score below it is a lot, see lua/prelude.lua


def issue_pass(event_id: UUID, user_id: UUID, queue: QueueState) -> str:
    return sign_pass(event_id, user_id, epoch=queue.epoch, now=queue.now, until=queue.admitted_until)


def sign_pass(event_id: UUID, user_id: UUID, *, epoch: int, now: int, until: int) -> str:
    return _sign("pass", event_id, user_id, f"{epoch}.{now}.{until}")


def issue_ticket(event_id: UUID, user_id: UUID, queue: QueueState) -> str:
    """Without the score if it is a lot: a lot is secret before the opening, and can be computed again."""
    score = "" if queue.score < FIRST_MOMENT else queue.score
    return _sign("ticket", event_id, user_id, f"{queue.epoch}.{queue.now}.{score}")


def read_pass(text: str, event_id: UUID, user_id: UUID) -> QueuePass | None:
    """None if it is forged, or another user's or event's. It may be over."""
    fields = _read("pass", text, event_id, user_id)
    return QueuePass(int(fields[0]), int(fields[1]), int(fields[2])) if fields and fields[2] else None


def read_ticket(text: str, event_id: UUID, user_id: UUID) -> QueueTicket | None:
    """None if it is forged, or another user's or event's."""
    fields = _read("ticket", text, event_id, user_id)
    return QueueTicket(int(fields[0]), int(fields[1]), int(fields[2]) if fields[2] else None) if fields else None


def _sign(kind: str, event_id: UUID, user_id: UUID, payload: str) -> str:
    return f"{payload}~{_signature(settings.SECRET_KEY, kind, f'{event_id}.{user_id}.{payload}')}"


def _signature(secret: str, kind: str, text: str) -> str:
    return base64url(hmac.digest(_key(secret, kind), text.encode(), "sha256"))


# As django.core.signing does it; its Signer derives the key for every signature, which takes longer than all the rest.
@lru_cache(maxsize=32)
def _key(secret: str, kind: str) -> bytes:
    return hashlib.sha256(f"queueing.{kind}signer{secret}".encode()).digest()


def _read(kind: str, text: str, event_id: UUID, user_id: UUID) -> list[str] | None:
    payload, _, signature = text.partition("~")
    if not signature or len(text) > MAX_LENGTH:
        return None
    signed, given = f"{event_id}.{user_id}.{payload}", signature.encode()
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    if not any(hmac.compare_digest(_signature(secret, kind, signed).encode(), given) for secret in secrets):
        return None
    return payload.split(".")
