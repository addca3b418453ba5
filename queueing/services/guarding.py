"""Buying only for admitted users."""

import time
from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

from events.errors import NotOnSale
from kernel.redis.client import RedisUnavailable
from queueing import store
from queueing.errors import NotAdmitted, WaitingRoomUnavailable
from queueing.guarded_script import AdmissionGuardedScript
from queueing.selectors import microseconds, policy_of
from queueing.services.with_policy import with_policy
from queueing.states import Visitor


def run_if_admitted(
    script: AdmissionGuardedScript,
    *,
    event_id: UUID,
    visitor: Visitor,
    keys: Mapping[str, Any],
    args: Mapping[str, Any],
) -> Any:
    """The script's result, for a visitor who is active, or is admitted just now because nobody waits and there is room.

    One round trip. Raises EventNotFound, NotOnSale, NotAdmitted; RedisUnavailable, and then see `require_pass`.
    """
    queue, result = with_policy(script.run, event_id, visitor=visitor, keys=keys, args=args)
    if queue.state in ("active", "off"):
        if queue.needs_activation:
            store.activate_event(event_id)
        return result
    if queue.state == "closed" or not queue.sale_from <= queue.now < queue.sale_to:
        raise NotOnSale
    raise NotAdmitted


def require_pass(*, event_id: UUID, visitor: Visitor) -> None:
    """While Redis does not answer, only visitors with a valid pass may buy. Raises EventNotFound, WaitingRoomUnavailable."""
    policy = policy_of(event_id)
    queue_pass = visitor.queue_pass
    if not policy.is_on:
        return
    now = time.time() * 1_000_000
    if queue_pass is None or queue_pass.until <= now or queue_pass.issued <= microseconds(policy.cleared_at):
        raise WaitingRoomUnavailable


def end_admission(*, event_id: UUID, user_id: UUID, cause: Literal["bought", "cancelled"]) -> None:
    """Makes room for the next user, as soon as Redis responds. Safe to lose: admissions end by themselves."""
    try:
        store.leave(event_id, user_id=user_id, cause=cause)
    except store.PolicyUnknown:
        pass
    except RedisUnavailable:
        store.owe_leave(event_id, user_id=user_id, cause=cause)
