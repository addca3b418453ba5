"""The draw: the order of the visitors who came before the opening.

Nobody can know it before the opening, and anybody can compute it afterwards:

- `seed`: 32 random bytes, made when the opening time was set; `commitment` is their SHA-256, published at once;
- `code` of a participant: SHA-256 of `{event id}:{user id}`, in lower case, so that the list can be public and still only
  the participants themselves know which of the codes is theirs;
- `lot`: the first 50 bits of HMAC-SHA256(seed, code). The smallest lot is first.

A lot depends on nothing but the seed and the participant: not on when a visitor came, nor how often.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from uuid import UUID

LOT_BITS = 50
CODE_BYTES = 32


def new_seed() -> str:
    return secrets.token_hex(32)


def commitment(seed: str) -> str:
    return hashlib.sha256(bytes.fromhex(seed)).hexdigest()


def code(event_id: UUID, user_id: UUID) -> bytes:
    return hashlib.sha256(f"{event_id}:{user_id}".encode()).digest()


def lot(seed: str, participant: bytes) -> int:
    drawn = hmac.digest(bytes.fromhex(seed), participant, "sha256")
    return int.from_bytes(drawn[:8], "big") >> (64 - LOT_BITS)


def codes(participants: bytes) -> list[bytes]:
    """The participants' codes, from the form in which they are stored."""
    return [participants[at : at + CODE_BYTES] for at in range(0, len(participants), CODE_BYTES)]


def problems(*, seed: str, published: str, participants: Sequence[bytes]) -> list[str]:
    """What is wrong with a draw; empty if it was fair. `published` is the commitment."""
    found = []
    if commitment(seed) != published:
        found.append("the seed is not the one that was committed to")
    if len(set(participants)) != len(participants):
        found.append("a participant is on the list twice")
    lots = [lot(seed, participant) for participant in participants]
    found += [
        f"position {index + 1} is before a smaller lot"
        for index in range(len(lots) - 1)
        if lots[index] > lots[index + 1]
    ]
    return found
