"""Buying only for admitted users: in the round trip that finds out whether they are admitted."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from events.errors import NotOnSale
from kernel.redis.client import RedisUnavailable
from kernel.redis.scripts import LuaScript
from queueing import store
from queueing.challenges import join_challenge
from queueing.errors import NotAdmitted, WaitingRoomUnavailable
from queueing.rate_limits import RESERVE
from queueing.selectors import microseconds, policy_of
from queueing.services.with_policy import with_policy
from queueing.states import Visitor


class AdmissionGuardedScript:
    """A Lua script that runs only for a visitor who is active, or admitted just now; nothing of it happens to others.

    `source`, `keys`, `args` and `result` are those of a `LuaScript`. See `run_if_admitted`.
    """

    def __init__(
        self, source: str, *, keys: Sequence[str] = (), args: Sequence[str] = (), result: Sequence[str] = ()
    ) -> None:
        self.guarded = LuaScript(source, keys=keys, args=args, result=result)
        # The guarded script finds its own KEYS and ARGV. Its local variables shadow those of the waiting room.
        self.script = LuaScript(
            f"""{store.CHECK_IN_SOURCE}local function guarded(KEYS, ARGV) {self.guarded.source} end
if fields.state == 'active' or fields.state == 'off' then fields.guarded = guarded(guarded_keys, guarded_args) end
return result(fields)""",
            keys=(*store.CHECK_IN_KEYS, "*guarded_keys"),
            args=(*store.CHECK_IN_ARGS, "*guarded_args"),
            result=(*store.CHECK_IN_RESULT, "guarded"),
        )


def run_if_admitted(
    script: AdmissionGuardedScript,
    *,
    event_id: UUID,
    visitor: Visitor,
    keys: Mapping[str, Any],
    args: Mapping[str, Any],
) -> Any:
    """The script's result, for a visitor who is active, or is admitted just now because nobody waits and there is room.

    One round trip. Raises RateLimited, EventNotFound, NotOnSale, NotAdmitted; RedisUnavailable, and then see `require_pass`.
    """
    guarded_keys, guarded_args = script.guarded.flatten(keys, args)
    queue, reply = with_policy(
        store.check_in_and_run,
        event_id,
        script=script.script,
        visitor=visitor,
        # Where newcomers have to solve a challenge, nobody is admitted without it.
        mode="status" if join_challenge() else "buy",
        limit=RESERVE,
        guarded_keys=guarded_keys,
        guarded_args=guarded_args,
    )
    if queue.state in ("active", "off"):
        if queue.needs_activation:
            store.activate_event(event_id)
        return script.guarded.parse(reply)
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
