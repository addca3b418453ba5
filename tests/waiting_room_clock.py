"""A waiting room whose clock the test sets: the scripts are made to read a key instead of Redis' TIME.

The scripts are changed here, in the test's own process; there is no such switch in the service.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kernel.redis.scripts import LuaScript
from queueing import waiting_room
from queueing.waiting_room import Found, Mode, PolicyUnknown, Proof, Tick, Visitor

SECOND = 1_000_000
START = 1_790_000_000 * SECOND
CLOCK = "test:clock"
BY_THE_CLOCK_OF_THE_TEST = ("redis.call('TIME')", f"redis.call('LRANGE', '{CLOCK}', 0, 1)")
SCRIPTS = ("_visit", "_admit", "_leave", "_clear", "_put_policy")


def change_scripts(monkeypatch: Any, *changes: tuple[str, str]) -> None:
    """Replaces text in the sources of the scripts; all of it must be there."""
    sources = {name: getattr(waiting_room, name)._source for name in SCRIPTS}
    for old, new in changes:
        assert any(old in source for source in sources.values()), old
        sources = {name: source.replace(old, new) for name, source in sources.items()}
    for name, source in sources.items():
        monkeypatch.setattr(waiting_room, name, LuaScript(source))
    monkeypatch.setattr(waiting_room, "_VISIT", sources["_visit"].rpartition("\nreturn visit()")[0])
    monkeypatch.setattr(waiting_room, "was_away_since", lambda _: True)  # here an emptied Redis is one that was lost


def policy_fields(**changes: Any) -> dict[str, Any]:
    """A policy as waiting_room takes it, in microseconds; a wide one, but for `changes`."""
    limits = {"is_on": 1, "paused": 0, "closed": 0, "threshold": 1000, "rate": 1000, "burst": 1000}
    seconds = {"admission": 600, "idle": 60, "grace": 300, "idle_inside": 300}
    rest = {"xmax": 1000, "unfinished": 0, "opens": 0, "cleared": 0, "sale_from": 0, "sale_to": 2 * START, "seed": ""}
    return {**limits, **{name: n * SECOND for name, n in seconds.items()}, **rest, **changes}


def pass_of(found: Found) -> Proof:
    assert found.state == "active"
    return Proof(found.epoch, found.now, found.until)


def ticket_of(found: Found) -> Proof:
    assert found.state == "waiting"
    return Proof(found.epoch, found.now, found.place)


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

    def call(self, call: Callable[[Any], Any]) -> Any:
        """As queueing.services does it."""
        try:
            return call(None)
        except PolicyUnknown:
            return call(self.policy)

    def visit(
        self,
        user: uuid.UUID | str,
        mode: Mode = "check",
        *,
        pass_: Proof | None = None,
        ticket: Proof | None = None,
        lot: int | None = None,
    ) -> Found:
        visitor = Visitor(uuid.UUID(str(user)), pass_, ticket)
        found: Found = self.call(lambda policy: waiting_room.visit(self.event_id, visitor, mode, lot, policy))
        return found

    def look(self) -> Found:
        found: Found = self.call(lambda policy: waiting_room.look(self.event_id, policy))
        return found

    def tick(self) -> Tick:
        tick: Tick = self.call(lambda policy: waiting_room.admit(self.event_id, policy))
        return tick

    def admit(self) -> list[str]:
        """A tick as queueing.services makes it: until there is no more to do. Who was let in."""
        admitted: list[str] = []
        while True:
            tick = self.tick()
            admitted += [user for user, _, _ in tick.admitted]
            if not tick.again:
                return admitted

    def leave(self, user: uuid.UUID | str, cause: Any = "left") -> bool:
        gone: bool = self.call(lambda policy: waiting_room.leave(self.event_id, uuid.UUID(str(user)), cause, policy))
        return gone

    def clear(self) -> tuple[int, int]:
        self.change(cleared=self.now)
        gone: tuple[int, int] = self.call(lambda policy: waiting_room.clear(self.event_id, policy))
        return gone

    def change(self, **changes: Any) -> None:
        self.policy |= changes
        waiting_room.renew_policy(self.event_id, self.policy)

    def lose_everything(self) -> None:
        """Redis is restarted empty."""
        self.redis.flushall()
        self.redis.script_flush()
        self.set_clock()

    def line(self) -> list[str]:
        found: list[str] = self.redis.zrange(self.key("queue:{}"), 0, -1)
        return found
