"""A waiting room whose clock the test sets: the scripts are made to read a key instead of Redis' TIME.

The scripts are changed here, in the test's own process; there is no such switch in the service.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kernel.redis.scripts import LuaScript
from queueing import store
from queueing.states import AdmissionRound, Mode, QueuePass, QueueState, QueueTicket, Visitor

SECOND = 1_000_000
START = 1_790_000_000 * SECOND
CLOCK = "test:clock"
BY_THE_CLOCK_OF_THE_TEST = ("redis.call('TIME')", f"redis.call('LRANGE', '{CLOCK}', 0, 1)")
SCRIPTS = ("_check_in", "_look", "_positions", "_admit", "_leave", "_clear", "_set_policy")


def change_scripts(monkeypatch: Any, *changes: tuple[str, str]) -> None:
    """Replaces text in the sources of the scripts; all of it must be there."""
    scripts = {name: getattr(store, name) for name in SCRIPTS}
    bodies = {name: script.body for name, script in scripts.items()}
    for old, new in changes:
        assert any(old in body for body in bodies.values()), old
        bodies = {name: body.replace(old, new) for name, body in bodies.items()}
    for name, body in bodies.items():
        was = scripts[name]
        monkeypatch.setattr(store, name, LuaScript(body, keys=was.keys, args=was.args, result=was.result))
    monkeypatch.setattr(store, "CHECK_IN_SOURCE", bodies["_check_in"].removesuffix("return result(fields)"))
    monkeypatch.setattr(store, "was_unavailable_since", lambda _: True)  # here an emptied Redis is one that was lost


def policy_fields(**changes: Any) -> dict[str, Any]:
    """A policy as the store takes it, in microseconds; a wide one, but for `changes`."""
    limits = {"is_on": 1, "paused": 0, "closed": 0, "threshold": 1000, "rate": 1000, "burst": 1000}
    seconds = {"admission": 600, "idle": 60, "grace": 300, "active_idle": 300}
    rest = {"xmax": 1000, "unfinished": 0, "opens": 0, "cleared": 0, "sale_from": 0, "sale_to": 2 * START, "seed": ""}
    return {**limits, **{name: n * SECOND for name, n in seconds.items()}, **rest, **changes}


def pass_of(found: QueueState) -> QueuePass:
    assert found.state == "active"
    return QueuePass(found.epoch, found.now, found.admitted_until)


def ticket_of(found: QueueState) -> QueueTicket:
    assert found.state == "waiting"
    return QueueTicket(found.epoch, found.now, found.score)


@dataclass
class Room:
    """One event. The time is that of Redis unless `set_clock` is called, for which the scripts must have been changed."""

    redis: Any
    policy: dict[str, Any]
    event_id: uuid.UUID = field(default_factory=uuid.uuid4)
    now: int = START

    def key(self, template: str) -> str:
        return template.format(self.event_id)

    def set_clock(self, by: float = 0) -> None:
        """`by` seconds later than it was."""
        self.now += round(by * SECOND)
        pipeline = self.redis.pipeline(transaction=True)
        pipeline.delete(CLOCK)
        pipeline.rpush(CLOCK, *divmod(self.now, SECOND))
        pipeline.execute()

    def call(self, operation: Callable[..., Any], **arguments: Any) -> Any:
        """As queueing.services.with_policy does it."""
        try:
            return operation(self.event_id, **arguments)
        except store.PolicyUnknown:
            return operation(self.event_id, self.policy, **arguments)

    def visit(
        self,
        user: uuid.UUID | str,
        mode: Mode = "check",
        *,
        pass_: QueuePass | None = None,
        ticket: QueueTicket | None = None,
        lot: int | None = None,
    ) -> QueueState:
        visitor = Visitor(uuid.UUID(str(user)), pass_, ticket)
        found: QueueState = self.call(store.check_in, visitor=visitor, mode=mode, lot=lot)
        return found

    def look(self) -> QueueState:
        found: QueueState = self.call(store.look)
        return found

    def tick(self) -> AdmissionRound:
        tick: AdmissionRound = self.call(store.admit)
        return tick

    def admit(self) -> list[str]:
        """A tick as queueing.services makes it: until there is no more to do. Returns whoever was let in."""
        admitted: list[str] = []
        while True:
            tick = self.tick()
            admitted += [user for user, _, _ in tick.admitted]
            if not tick.has_more:
                return admitted

    def leave(self, user: uuid.UUID | str, cause: Any = "left") -> bool:
        gone: bool = self.call(store.leave, user_id=uuid.UUID(str(user)), cause=cause)
        return gone

    def clear(self) -> tuple[int, int]:
        self.change(cleared=self.now)
        gone: tuple[int, int] = self.call(store.clear)
        return gone

    def change(self, **changes: Any) -> None:
        self.policy |= changes
        store.replace_policy(self.event_id, self.policy)

    def lose_everything(self) -> None:
        """Redis is restarted empty."""
        self.redis.flushall()
        self.redis.script_flush()
        self.set_clock()

    def line(self) -> list[str]:
        found: list[str] = self.redis.zrange(self.key("queue:{}"), 0, -1)
        return found
