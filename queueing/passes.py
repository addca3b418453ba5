"""What a visitor is given to keep: a pass to who was let in, a ticket to who waits. Signed, so that it can be believed.

While Redis answers it says who is where, and neither is needed. A pass lets its owner buy while Redis does not answer;
both give back what was theirs after Redis has lost everything. They belong to one user and one event, and contain no
secret. Signed with SECRET_KEY (and believed with SECRET_KEY_FALLBACKS) by `django.core.signing`.
"""

from functools import cache
from uuid import UUID

from django.core.signing import BadSignature, Signer

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


@cache
def _signer(kind: str) -> Signer:
    return Signer(salt=f"queueing.{kind}", sep="~")


def _sign(kind: str, event_id: UUID, user_id: UUID, says: str) -> str:
    signature = _signer(kind).signature(f"{event_id}.{user_id}.{says}")
    return f"{says}~{signature}"


def _read(kind: str, text: str, event_id: UUID, user_id: UUID) -> Proof | None:
    says, _, signature = text.partition("~")
    if not signature or len(text) > LONGEST:
        return None
    try:
        _signer(kind).unsign(f"{event_id}.{user_id}.{says}~{signature}")
    except BadSignature:
        return None
    epoch, issued, value = says.split(".")
    return Proof(int(epoch), int(issued), int(value) if value else None)
