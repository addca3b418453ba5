"""The join challenge: what newcomers have to prove before they join a queue. A plug-in, none by default.

JOIN_CHALLENGE names it: one of SHIPPED, or the dotted path of a class that is a `JoinChallenge`. See docs/rate-limits.md.
"""

from functools import cache
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings
from django.utils.module_loading import import_string

SHIPPED = {
    "proof-of-work": "queueing.challenges.proof_of_work.ProofOfWork",
    "turnstile": "queueing.challenges.turnstile.Turnstile",
}
MAX_RESPONSE = 4096  # characters; a longer one is not looked at


class JoinChallenge(Protocol):
    """One instance serves all requests. It keeps nothing for those who have not solved it."""

    def parameters(self) -> dict[str, Any]:
        """Return what all clients may know: `type`, and what depends on it."""

    def issue(self, *, event_id: UUID, user_id: UUID) -> dict[str, Any]:
        """Return what this user has to solve to join the queue of this event. Called often: no I/O."""

    def is_solved(self, response: str, *, event_id: UUID, user_id: UUID, address: str) -> bool:
        """Whether the response, of up to MAX_RESPONSE characters, is right. Raises Unavailable if nobody can tell now."""


@cache
def _load(name: str) -> JoinChallenge:
    challenge: JoinChallenge = import_string(SHIPPED.get(name, name))()
    return challenge


def join_challenge() -> JoinChallenge | None:
    """Return the challenge of this service, if it has one."""
    name: str = settings.JOIN_CHALLENGE
    return _load(name) if name else None
