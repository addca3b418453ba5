"""Scripts of other apps that run only for admitted users, in the round trip that finds out whether they are admitted."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from kernel.redis.scripts import LuaScript
from queueing import store
from queueing.states import QueueState, Visitor


class AdmissionGuardedScript:
    """A Lua script that runs only for a visitor who is active, or admitted just now; nothing of it happens to others.

    `source`, `keys`, `args` and `result` are those of a `LuaScript`.
    """

    def __init__(
        self, source: str, *, keys: Sequence[str] = (), args: Sequence[str] = (), result: Sequence[str] = ()
    ) -> None:
        self._guarded = LuaScript(source, keys=keys, args=args, result=result)
        # The guarded script finds its own KEYS and ARGV. Its local variables shadow those of the waiting room.
        self._script = LuaScript(
            f"""{store.CHECK_IN_SOURCE}local function guarded(KEYS, ARGV) {self._guarded.source} end
if fields.state == 'active' or fields.state == 'off' then fields.guarded = guarded(guarded_keys, guarded_args) end
return result(fields)""",
            keys=(*store.KEY_TEMPLATES, "*guarded_keys"),
            args=(*store.CHECK_IN_ARGS, "*guarded_args"),
            result=(*store.CHECK_IN_RESULT, "guarded"),
        )

    def run(
        self,
        event_id: UUID,
        policy: store.PolicyFields | None = None,
        *,
        visitor: Visitor,
        keys: Mapping[str, Any],
        args: Mapping[str, Any],
    ) -> tuple[QueueState, Any]:
        """The queue's state, and the guarded script's result or None if it did not run.

        Raises PolicyUnknown, RedisUnavailable.
        """
        guarded_keys, guarded_args = self._guarded.flatten(keys, args)
        fields = store.run(
            self._script,
            event_id,
            policy,
            keys={"guarded_keys": guarded_keys},
            guarded_args=guarded_args,
            **store.check_in_args(visitor, "buy", None),
        )
        reply = fields.pop("guarded")
        return store.queue_state(event_id, fields), self._guarded.parse(reply)
