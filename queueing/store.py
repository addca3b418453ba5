"""Queue and active users of each event in Redis; with lua/, the only code that knows their keys.

Redis says who waits and who is active, by its own clock. Every call is one round trip. The Lua scripts decide, and are safe
to run at once from any number of processes. What is allowed is the event's policy, a hash beside the queue, so that a
change applies from the next call on. A call without a policy raises PolicyUnknown if Redis does not know it: call again
with it, and it is set in the same round trip.
"""

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast
from uuid import UUID

from django.conf import settings

from kernel.redis import rate_limits
from kernel.redis.client import was_unavailable_since
from kernel.redis.deferred import execute, execute_or_defer, run_command
from kernel.redis.rate_limits import RateLimit
from kernel.redis.scripts import LuaScript, tagged_key
from queueing.states import Admission, AdmissionRound, Mode, QueueState, Visitor

PolicyFields = Mapping[str, str | int | float]  # see `selectors.Policy.as_fields`

ACTIVE_EVENTS = "queue:events"  # the events that admission rounds visit
COUNTED_EVENTS = "queue:counted"  # the events that ever were active
KEY_TEMPLATES = {
    "queue_key": "queue:{}",
    "queue_seen_key": "queue:seen:{}",
    "grace_key": "queue:grace:{}",
    "grace_until_key": "queue:grace:until:{}",
    "active_key": "active:{}",
    "active_until_key": "active:until:{}",
    "active_seen_key": "active:seen:{}",
    "state_key": "queue:state:{}",
    "policy_key": "queue:policy:{}",
    "stats_key": "queue:stats:{}",
    "flow_key": "queue:flow:{}",
    "probes_key": "queue:probes:{}",
    "drawn_key": "queue:drawn:{}",
    "redeemed_key": "queue:redeemed:{}",
}
CLEARED_KEY_TEMPLATES = {"cleared_queue_key": "queue:cleared:{}", "cleared_active_key": "active:cleared:{}"}
TOLD_SECONDS = 120  # for which is kept who was cleared
PRELUDE_ARGS = ("user_id", "lost_epoch", "rebuild_us")
CHECK_IN_ARGS = (*PRELUDE_ARGS, *rate_limits.ARGS, "mode", "pass_epoch", "pass_issued", "pass_until", "ticket_epoch",
                 "ticket_issued", "ticket_score", "lot")  # fmt: skip
MAX_ADMISSIONS_PER_CALL = 2000
MAX_USERS_PER_CALL = 500  # of `positions`: half a millisecond of Redis


@lru_cache(maxsize=1000)
def keys_of(event_id: UUID) -> dict[str, str]:
    """By the names that the scripts give them."""
    return {name: tagged_key(template, event_id) for name, template in KEY_TEMPLATES.items()}


# --- Scripts ----------------------------------------------------------------------------------------------------------


def _source(*parts: str) -> str:
    return "".join((Path(__file__).parent / "lua" / f"{part}.lua").read_text() for part in parts)


def _script(*parts: str, args: Sequence[str] = (), result: Sequence[str]) -> LuaScript:
    return LuaScript(
        _source("clock", "prelude", *parts), keys=tuple(KEY_TEMPLATES), args=(*PRELUDE_ARGS, *args), result=result
    )


CHECK_IN_KEYS = (*KEY_TEMPLATES, *rate_limits.KEYS)
CHECK_IN_SOURCE = rate_limits.SOURCE + _source("prelude", "queue_state", "check_in")
CHECK_IN_RESULT = (*QueueState._fields, "lot_seed")
_check_in = LuaScript(
    f"{CHECK_IN_SOURCE}return result(fields)",
    keys=CHECK_IN_KEYS, args=CHECK_IN_ARGS, result=CHECK_IN_RESULT,
)  # fmt: skip
_look = _script("queue_state", "look", result=QueueState._fields)
_positions = _script("queue_state", "positions", args=("*users",), result=(*QueueState._fields, "positions"))
_admit = _script(
    "admit",
    args=("limit",),
    result=("has_more", "size", "active", "is_policy_stale", "is_draw_due", "is_empty", "threshold", "epoch", "now",
            "admitted"),
)  # fmt: skip
_leave = _script("leave", args=("cause", "owed_since"), result=("had_place",))
_clear = LuaScript(
    _source("clock", "prelude", "clear"),
    keys=(*KEY_TEMPLATES, *CLEARED_KEY_TEMPLATES),
    args=(*PRELUDE_ARGS, "told_seconds"),
    result=("waiting", "active"),
)
_set_policy = LuaScript(
    _source("set_policy"),
    keys=("policy_key", "state_key"),
    args=("only_if_known", "xmax", "unfinished", "*fields"),
    result=("is_set",),
)


class PolicyUnknown(Exception):
    """Redis does not know the event's policy, or it is too old to rely on: call again with it."""


class LotRequired(Exception):
    """The event has a draw that is still to be held: call again with the visitor's lot, computed from this seed."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        super().__init__()


def run(
    script: LuaScript,
    event_id: UUID,
    policy: PolicyFields | None,
    *,
    keys: Mapping[str, Any] = MappingProxyType({}),
    **args: Any,
) -> dict[str, Any]:
    """The script's result by name, in one round trip; a given policy is set before. `keys` and `args` besides the prelude's.

    Raises PolicyUnknown, RedisUnavailable.
    """
    keys = {**keys_of(event_id), **keys} if keys else keys_of(event_id)
    args.setdefault("user_id", "")
    args["lost_epoch"] = _lost_epoch(event_id)
    args["rebuild_us"] = settings.QUEUE_REBUILD_SECONDS * 1_000_000
    fields: Any = script(keys=keys, args=args) if policy is None else _set_policy_and_run(script, keys, args, policy)
    if fields == b"POLICY_UNKNOWN":
        raise PolicyUnknown
    return fields  # type: ignore[no-any-return]


def _set_policy_and_run(
    script: LuaScript, keys: Mapping[str, Any], args: Mapping[str, Any], policy: PolicyFields
) -> Any:
    def command(redis: Any) -> Any:
        pipeline = redis.pipeline(transaction=True)
        _set_policy.run(pipeline, keys=_policy_keys(keys), args=_policy_args("", policy))
        script.run(pipeline, keys=keys, args=args)
        return pipeline.execute()

    return script.parse(execute(command)[-1])


def _policy_keys(keys: Mapping[str, Any]) -> dict[str, str]:
    return {name: keys[name] for name in _set_policy.keys}


def _policy_args(only_if_known: Literal["", "1"], policy: PolicyFields) -> dict[str, Any]:
    return {
        "only_if_known": only_if_known,
        "xmax": policy["xmax"],
        "unfinished": policy["unfinished"],
        "fields": [part for field in policy.items() for part in field],
    }


# --- Queues that Redis may have lost ----------------------------------------------------------------------------------

# Redis that was away and has lost everything does not know that users were waiting; this process does, and in which epoch.
# It says so with each call, and nobody is admitted until the queue has had time to come back. Not if Redis was reachable all
# the time: then somebody has emptied it on purpose.
QUEUE_REMEMBERED_SECONDS = 60.0
_last_seen_queues: dict[UUID, tuple[int, float]] = {}  # the epoch, and when it was last seen that somebody waits


def _note_queue(event_id: UUID, *, size: int, epoch: int) -> None:
    if size > 0:
        _last_seen_queues[event_id] = epoch, time.monotonic()
    else:
        _last_seen_queues.pop(event_id, None)


def _lost_epoch(event_id: UUID) -> int | Literal[""]:
    """The epoch of a queue that this process saw before an outage of Redis, or ''."""
    epoch, seen = _last_seen_queues.get(event_id, (0, 0.0))
    is_recent = epoch and time.monotonic() - seen < QUEUE_REMEMBERED_SECONDS
    return epoch if is_recent and was_unavailable_since(seen) else ""


# --- Visitors ---------------------------------------------------------------------------------------------------------


def check_in(
    event_id: UUID,
    policy: PolicyFields | None = None,
    *,
    visitor: Visitor,
    mode: Mode,
    lot: int | None = None,
    limit: RateLimit | None = None,
) -> QueueState:
    """See lua/check_in.lua. Raises RateLimited, PolicyUnknown, LotRequired, RedisUnavailable."""
    return queue_state(event_id, _check_in_within(limit, _check_in, event_id, policy, visitor, mode, lot=lot))


def check_in_and_run(
    event_id: UUID,
    policy: PolicyFields | None = None,
    *,
    script: LuaScript,
    visitor: Visitor,
    mode: Mode = "buy",
    limit: RateLimit | None = None,
    guarded_keys: Sequence[Any],
    guarded_args: Sequence[Any],
) -> tuple[QueueState, Any]:
    """The state, and what the script of an `AdmissionGuardedScript` guards has replied, or None if it did not run.

    Raises RateLimited, PolicyUnknown, RedisUnavailable.
    """
    fields = _check_in_within(
        limit,
        script,
        event_id,
        policy,
        visitor,
        mode,
        keys={"guarded_keys": guarded_keys},
        guarded_args=guarded_args,
    )
    reply = fields.pop("guarded")
    return queue_state(event_id, fields), reply


def _check_in_within(
    limit: RateLimit | None,
    script: LuaScript,
    event_id: UUID,
    policy: PolicyFields | None,
    visitor: Visitor,
    mode: Mode,
    *,
    lot: int | None = None,
    keys: Mapping[str, Any] = MappingProxyType({}),
    **args: Any,
) -> dict[str, Any]:
    """What `run` returns. A call with a policy is the second one for a request, which the first one has counted."""
    limit = limit if policy is None else None
    args |= check_in_args(visitor, mode, lot, limit)
    keys = {"rate_key": rate_key(event_id, args["user_id"], limit), **keys}
    fields: Any = run(script, event_id, policy, keys=keys, **args)
    if limit is not None and rate_limits.is_refusal(fields):
        raise limit.refusal(fields)
    return fields  # type: ignore[no-any-return]


def rate_key(event_id: UUID, user_id: str, limit: RateLimit | None = None) -> str:
    """The key that lua/check_in.lua takes besides those of the event. Without a limit it is not touched."""
    return limit.key(user_id, event_id) if limit else keys_of(event_id)["policy_key"]


def look(event_id: UUID, policy: PolicyFields | None = None) -> QueueState:
    """The queue's state, for nobody in particular. Raises PolicyUnknown, RedisUnavailable."""
    return queue_state(event_id, run(_look, event_id, policy))


def positions(
    event_id: UUID, policy: PolicyFields | None = None, *, users: Sequence[str]
) -> tuple[QueueState, list[int]]:
    """Positions of up to MAX_USERS_PER_CALL users, which counts as a sign of life of each: see lua/positions.lua.

    From 1; 0 for a user who does not wait, -1 for one who is active. Empty if the waiting room is off or closed. Raises
    PolicyUnknown, RedisUnavailable.
    """
    fields = run(_positions, event_id, policy, users=users)
    found: list[int] = fields.pop("positions")
    return queue_state(event_id, fields), found


def check_in_args(visitor: Visitor, mode: Mode, lot: int | None, limit: RateLimit | None = None) -> dict[str, Any]:
    """What lua/check_in.lua takes, except for what all scripts take."""
    queue_pass, ticket = visitor.queue_pass, visitor.queue_ticket
    return {
        "user_id": str(visitor.user_id),
        "mode": mode,
        "pass_epoch": queue_pass.epoch if queue_pass else "",
        "pass_issued": queue_pass.issued if queue_pass else "",
        "pass_until": queue_pass.until if queue_pass else "",
        "ticket_epoch": ticket.epoch if ticket else "",
        "ticket_issued": ticket.issued if ticket else "",
        "ticket_score": "" if ticket is None or ticket.score is None else ticket.score,
        "lot": "" if lot is None else lot,
        **(limit.args() if limit else rate_limits.UNLIMITED),
    }


_FLAGS = ("is_drawn", "is_rebuilding", "is_paused", "needs_activation")


def queue_state(event_id: UUID, fields: dict[str, Any]) -> QueueState:
    """Raises LotRequired."""
    if seed := fields.pop("lot_seed", None):
        raise LotRequired(seed.decode())
    _note_queue(event_id, size=fields["size"], epoch=fields["epoch"])
    for name in _FLAGS:
        fields[name] = bool(fields[name])
    fields["state"] = fields["state"].decode()
    fields["rate"] = float(fields["rate"])
    return QueueState(**fields)


def leave(
    event_id: UUID,
    policy: PolicyFields | None = None,
    *,
    user_id: UUID,
    cause: Literal["left", "bought", "cancelled"] = "left",
) -> bool:
    """Gives up the position or the admission; `bought` and `cancelled` only the admission. Whether there was one.

    Raises PolicyUnknown, RedisUnavailable.
    """
    return bool(run(_leave, event_id, policy, user_id=str(user_id), cause=cause, owed_since="")["had_place"])


def owe_leave(event_id: UUID, *, user_id: UUID, cause: Literal["left", "bought", "cancelled"]) -> None:
    """What `leave` could not tell Redis is told when it is back, unless the user has come back before."""
    keys = keys_of(event_id)
    args = {
        "user_id": str(user_id),
        "lost_epoch": "",
        "rebuild_us": settings.QUEUE_REBUILD_SECONDS * 1_000_000,
        "cause": cause,
        "owed_since": int(time.time() * 1_000_000),
    }
    execute_or_defer(f"leave {event_id} {user_id}", lambda redis: _leave.run(redis, keys=keys, args=args))


# --- All users of an event --------------------------------------------------------------------------------------------


def admit(event_id: UUID, policy: PolicyFields | None = None) -> AdmissionRound:
    """Drops silent users and admits as many as the policy allows. Raises PolicyUnknown, RedisUnavailable."""
    fields = run(_admit, event_id, policy, limit=MAX_ADMISSIONS_PER_CALL)
    _note_queue(event_id, size=fields["size"], epoch=fields["epoch"])
    for name in ("has_more", "is_policy_stale", "is_draw_due", "is_empty"):
        fields[name] = bool(fields[name])
    flat = fields.pop("admitted")
    rows = zip(flat[0::3], flat[1::3], flat[2::3], strict=True)
    return AdmissionRound(**fields, admitted=[Admission(user.decode(), score, until) for user, score, until in rows])


def clear(event_id: UUID, policy: PolicyFields | None = None) -> tuple[int, int]:
    """Removes everybody. How many were waiting and active. Raises PolicyUnknown, RedisUnavailable."""
    fields = run(_clear, event_id, policy, keys=_cleared_keys_of(event_id), told_seconds=TOLD_SECONDS)
    _last_seen_queues.pop(event_id, None)
    return fields["waiting"], fields["active"]


def take_cleared(event_id: UUID, users: Sequence[str]) -> bool:
    """Whether one of these users was removed by `clear` within TOLD_SECONDS; once for each user. Raises RedisUnavailable."""
    keys = _cleared_keys_of(event_id)

    def take(redis: Any) -> list[int]:
        pipeline = redis.pipeline(transaction=False)
        pipeline.zrem(keys["cleared_queue_key"], *users)
        pipeline.srem(keys["cleared_active_key"], *users)
        return cast(list[int], pipeline.execute())

    return any(execute(take))


def _cleared_keys_of(event_id: UUID) -> dict[str, str]:
    return {name: tagged_key(template, event_id) for name, template in CLEARED_KEY_TEMPLATES.items()}


def replace_policy(event_id: UUID, policy: PolicyFields) -> None:
    """Sets the policy if Redis knows one already; if Redis is away, as soon as it is back."""
    keys, args = _policy_keys(keys_of(event_id)), _policy_args("1", policy)
    execute_or_defer(keys["policy_key"], lambda redis: _set_policy.run(redis, keys=keys, args=args))


def activate_event(event_id: UUID) -> None:
    """Admission rounds visit this event from now on. Raises RedisUnavailable."""

    def add(redis: Any) -> None:
        pipeline = redis.pipeline(transaction=False)
        pipeline.sadd(ACTIVE_EVENTS, str(event_id))
        pipeline.sadd(COUNTED_EVENTS, str(event_id))
        pipeline.execute()

    execute(add)


def deactivate_event(event_id: UUID) -> None:
    """Raises RedisUnavailable."""
    run_command("SREM", ACTIVE_EVENTS, str(event_id))


def active_events() -> list[UUID]:
    """The events with users who wait or are active. Raises RedisUnavailable."""
    return sorted(UUID(event_id.decode()) for event_id in run_command("SMEMBERS", ACTIVE_EVENTS))


def unrecorded_draw(event_id: UUID) -> tuple[int, list[UUID]]:
    """The opening whose draw is still to be recorded, and its participants in the order drawn.

    0 and nobody if there is none. Raises RedisUnavailable.
    """
    keys = keys_of(event_id)

    def read(redis: Any) -> Any:
        pipeline = redis.pipeline(transaction=True)
        pipeline.hmget(keys["state_key"], "draw_due", "drawn_opening")
        pipeline.zrange(keys["drawn_key"], 0, -1)
        return pipeline.execute()

    (is_due, opening), users = execute(read)
    return (int(float(opening)), [UUID(user.decode()) for user in users]) if is_due else (0, [])


def forget_recorded_draw(event_id: UUID) -> None:
    """The draw is durable: Redis need not keep it. Raises RedisUnavailable."""
    keys = keys_of(event_id)

    def forget(redis: Any) -> None:
        pipeline = redis.pipeline(transaction=True)
        pipeline.hdel(keys["state_key"], "draw_due")
        pipeline.delete(keys["drawn_key"])
        pipeline.execute()

    execute(forget)
