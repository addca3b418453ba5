"""Visitors who check in, or ask for their position."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from kernel.redis.rate_limits import RateLimit
from queueing import draws, store
from queueing.challenges import MAX_RESPONSE, JoinChallenge, join_challenge
from queueing.errors import ChallengeFailed, ChallengeRequired, QueueClosed
from queueing.estimates import Estimate, estimate_wait
from queueing.passes import issue_pass, issue_ticket, read_pass, read_ticket
from queueing.rate_limits import JOIN, STATUS
from queueing.services.with_policy import needs_redis, with_policy
from queueing.states import Mode, QueueState, Visitor
from queueing.store import LotRequired


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePosition:
    """A visitor's position: with a pass if they are active, with a ticket and an estimate if they wait."""

    queue: QueueState
    pass_: str = ""
    ticket: str = ""
    wait: Estimate | None = None


def identify_visitor(*, event_id: UUID, user_id: UUID, pass_: str = "", ticket: str = "") -> Visitor:
    """The visitor with their signed pass and ticket; invalid signatures are ignored."""
    return Visitor(
        user_id,
        read_pass(pass_, event_id, user_id) if pass_ else None,
        read_ticket(ticket, event_id, user_id) if ticket else None,
    )


def check_in(*, event_id: UUID, visitor: Visitor, challenge_response: str = "", address: str = "") -> QueuePosition:
    """Admits the visitor if nobody waits and there is room, otherwise they join the queue. Idempotent.

    Raises RateLimited, EventNotFound, QueueClosed or WaitingRoomUnavailable; with a join challenge, for a newcomer, also
    ChallengeRequired, ChallengeFailed, ChallengeUnavailable.
    """
    challenge = join_challenge()
    queue = _check_in(event_id, visitor, "status" if challenge else "check", JOIN)
    if queue.state == "closed":
        raise QueueClosed
    if challenge and queue.state == "none":
        # Counted, and known to be a newcomer: only now somebody works for it.
        _require_solution(challenge, challenge_response, event_id=event_id, user_id=visitor.user_id, address=address)
        queue = _check_in(event_id, visitor, "check", None)
    return _position(event_id, visitor, queue)


def get_status(*, event_id: UUID, visitor: Visitor, limit: RateLimit | None = STATUS) -> QueuePosition:
    """The visitor's position, which counts as a sign of life. Raises RateLimited, EventNotFound or WaitingRoomUnavailable.

    `limit` is None for a call that the visitor has not made.
    """
    return _position(event_id, visitor, _check_in(event_id, visitor, "status", limit))


def _require_solution(challenge: JoinChallenge, response: str, **about: Any) -> None:
    """Raises ChallengeRequired, ChallengeFailed, ChallengeUnavailable."""
    if not response:
        raise ChallengeRequired
    if len(response) > MAX_RESPONSE or not challenge.is_solved(response, **about):
        raise ChallengeFailed


@needs_redis()
def _check_in(event_id: UUID, visitor: Visitor, mode: Mode, limit: RateLimit | None) -> QueueState:
    lot = _known_lot(event_id, visitor.user_id)
    try:
        queue = with_policy(store.check_in, event_id, visitor=visitor, mode=mode, lot=lot, limit=limit)
    except LotRequired as required:
        _remember_seed(event_id, required.seed)
        lot = _known_lot(event_id, visitor.user_id)
        queue = with_policy(store.check_in, event_id, visitor=visitor, mode=mode, lot=lot)
    if queue.needs_activation:
        store.activate_event(event_id)
    return queue


def _position(event_id: UUID, visitor: Visitor, queue: QueueState) -> QueuePosition:
    match queue.state:
        case "active":
            return QueuePosition(queue=queue, pass_=issue_pass(event_id, visitor.user_id, queue))
        case "waiting":
            ticket = issue_ticket(event_id, visitor.user_id, queue)
            return QueuePosition(queue=queue, ticket=ticket, wait=estimate_wait(queue))
    return QueuePosition(queue=queue)


# A seed never changes: with it, one lot is all that has to be computed for a visitor before the opening.
MAX_SEEDS = 1000
_seeds: dict[UUID, str] = {}


def _remember_seed(event_id: UUID, seed: str) -> None:
    if len(_seeds) >= MAX_SEEDS:
        _seeds.clear()
    _seeds[event_id] = seed


def _known_lot(event_id: UUID, user_id: UUID) -> int | None:
    """The user's lot, if this process knows the event's seed."""
    seed = _seeds.get(event_id)
    return draws.lot(seed, draws.code(event_id, user_id)) if seed else None
