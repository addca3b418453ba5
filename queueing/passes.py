"""What a visitor is given to keep: a pass to who was let in, a ticket to who waits. Signed, so that it can be believed.

While Redis answers it says who is where, and neither is needed. A pass lets its owner buy while Redis does not answer;
both give back what was theirs after Redis has lost everything. They belong to one user and one event, and contain no
secret. Signed with SECRET_KEY, and believed with SECRET_KEY_FALLBACKS, as `django.core.signing` does it; its Signer takes
longer than all else that is done for a pass, since it derives its key anew each time.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from functools import lru_cache
from uuid import UUID

from django.conf import settings

from queueing.waiting_room import Found, Proof

LONGEST = 200  # characters; nothing of ours is longer


def give_pass(event_id: UUID, user_id: UUID, found: Found) -> str:
    return sign_pass(event_id, user_id, epoch=found.epoch, now=found.now, until=found.until)


def sign_pass(event_id: UUID, user_id: UUID, *, epoch: int, now: int, until: int) -> str:
    return _sign("pass", event_id, user_id, f"{epoch}.{now}.{until}")


def give_ticket(event_id: UUID, user_id: UUID, found: Found) -> str:
    """Of a place that was drawn by lot it says nothing before the opening: the lot can be computed again."""
    is_lot = found.place < 2**50
    return _sign("ticket", event_id, user_id, f"{found.epoch}.{found.now}.{'' if is_lot else found.place}")


def read_pass(text: str, event_id: UUID, user_id: UUID) -> Proof | None:
    """What the pass proves; None if it is not genuine, or not this user's for this event. May have run out: see `value`."""
    proof = _read("pass", text, event_id, user_id)
    return proof if proof and proof.value is not None else None


def read_ticket(text: str, event_id: UUID, user_id: UUID) -> Proof | None:
    return _read("ticket", text, event_id, user_id)


def _sign(kind: str, event_id: UUID, user_id: UUID, says: str) -> str:
    return f"{says}~{_signature(settings.SECRET_KEY, kind, f'{event_id}.{user_id}.{says}')}"


def _signature(secret: str, kind: str, text: str) -> str:
    digest = hmac.digest(_key(secret, kind), text.encode(), "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


@lru_cache(maxsize=32)
def _key(secret: str, kind: str) -> bytes:
    return hashlib.sha256(f"queueing.{kind}signer{secret}".encode()).digest()


def _read(kind: str, text: str, event_id: UUID, user_id: UUID) -> Proof | None:
    says, _, signature = text.partition("~")
    if not signature or len(text) > LONGEST:
        return None
    signed, given = f"{event_id}.{user_id}.{says}", signature.encode()
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    if not any(hmac.compare_digest(_signature(secret, kind, signed).encode(), given) for secret in secrets):
        return None
    epoch, issued, value = says.split(".")
    return Proof(int(epoch), int(issued), int(value) if value else None)
