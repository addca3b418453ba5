"""A proof of work after ALTCHA: the client's computer works for half a second, ours for two milliseconds."""

import hashlib
import time
from typing import Any
from uuid import UUID

from altcha import Payload, create_challenge, verify_solution
from django.conf import settings

ALGORITHM = "PBKDF2/SHA-256"


class ProofOfWork:
    """A challenge is for one user and one event: its solution cannot be passed on, and need not be remembered as used.

    A client has to find a counter whose derived key begins with a zero byte: 256 derivations on average, of
    PROOF_OF_WORK_COST iterations each.
    """

    def parameters(self) -> dict[str, Any]:
        return {"type": "proof-of-work", "algorithm": ALGORITHM, "cost": settings.PROOF_OF_WORK_COST}

    def issue(self, *, event_id: UUID, user_id: UUID) -> dict[str, Any]:
        challenge = create_challenge(
            ALGORITHM,
            settings.PROOF_OF_WORK_COST,
            expires_at=int(time.time()) + settings.JOIN_CHALLENGE_SECONDS,
            data=_data(event_id, user_id),
            hmac_secret=_key(settings.SECRET_KEY),
        )
        return challenge.to_dict()

    def is_solved(self, response: str, *, event_id: UUID, user_id: UUID, address: str) -> bool:  # noqa: ARG002 - anywhere
        try:
            payload = Payload.from_base64(response)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return False
        if payload.challenge.parameters.data != _data(event_id, user_id):
            return False
        # The signature comes first: only what we have issued costs a derivation.
        secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
        return any(verify_solution(payload, _key(secret)).verified for secret in secrets)


def _data(event_id: UUID, user_id: UUID) -> dict[str, str]:
    return {"event": str(event_id), "user": str(user_id)}


def _key(secret: str) -> bytes:
    return hashlib.sha256(f"queueing.challenges.proof_of_work{secret}".encode()).digest()
