"""A machine that makes all calls of the waiting room in any order, by a clock that the test sets.

Each answer, and what then stands in Redis, must be what `Rules` says. Most rules are judged a second time from nothing but
what stood in Redis before and after, so that a mistake in `Rules` does not hide one in a script.
"""

import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from queueing import store
from queueing.services import AdmissionGuardedScript
from queueing.states import QueuePass, QueueState, QueueTicket, Visitor
from tests.support.waiting_room_clock import SECOND, Room, pass_of, policy_fields, ticket_of
from tests.support.waiting_room_rules import Rules

USERS = [uuid.UUID(int=n) for n in range(1, 10)]


@dataclass
class Picture:
    """What stands in Redis."""

    line: dict[str, int]  # in order
    seen: dict[str, int]
    kept: dict[str, int]
    kept_until: dict[str, int]
    inside: set[str]
    until: dict[str, int]
    seen_inside: dict[str, int]

    @classmethod
    def of(cls, room: Room) -> "Picture":
        pipeline = room.redis.pipeline(transaction=True)
        for kind in ("queue", "queue:seen", "queue:grace:until", "active:until", "active:seen"):
            pipeline.zrange(f"{kind}:{room.event_id}", 0, -1, withscores=True)
        pipeline.hgetall(f"queue:grace:{room.event_id}")
        pipeline.smembers(f"active:{room.event_id}")
        *sorted_, kept, inside = pipeline.execute()
        line, seen, kept_until, until, seen_inside = ({user: int(at) for user, at in rows} for rows in sorted_)
        places = {user: int(float(place)) for user, place in kept.items()}
        return cls(line, seen, places, kept_until, inside, until, seen_inside)

    def check_agreement(self) -> None:
        """Nobody is in two places, and the keys beside the line and the inside are about the same people."""
        assert self.line.keys() == self.seen.keys()
        assert self.inside == self.until.keys() == self.seen_inside.keys()
        assert self.kept.keys() == self.kept_until.keys()
        assert len(self.line) + len(self.inside) + len(self.kept) == len({*self.line, *self.inside, *self.kept})


@dataclass
class Client:
    """What a visitor's browser holds: the last of each that it was given."""

    pass_: QueuePass | None = None
    ticket: QueueTicket | None = None


limits = {"threshold": st.integers(0, 6), "rate": st.sampled_from([0.5, 1, 2, 4, 0]), "burst": st.integers(1, 3)}
durations = {
    "admission": st.sampled_from([3 * SECOND, 20 * SECOND]),
    "idle": st.sampled_from([5 * SECOND, 8 * SECOND]),
    "grace": st.sampled_from([0, 3 * SECOND, 20 * SECOND]),
    "active_idle": st.sampled_from([5 * SECOND, 30 * SECOND]),
}
users = st.sampled_from(USERS)
processes = st.integers(0, 1)


class Machine(RuleBasedStateMachine):
    """Nine people, two processes, one event."""

    redis: Any
    happened: Counter[str]  # in all runs

    def __init__(self) -> None:
        super().__init__()
        self.redis.flushall()
        self.guarded = AdmissionGuardedScript("return 'bought'")
        self.clients = {user: Client() for user in USERS}
        self.crowds: list[dict[uuid.UUID, int]] = [{}, {}]  # what each process remembers
        self.remembered: list[int | None] = [None, None]  # what it should remember
        self.losses = 0
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.admissions: list[tuple[float, int]] = []  # how much the rate had allowed by then, and how many
        self.allowed = 0.0

    @initialize(
        policy=st.fixed_dictionaries({**limits, **durations, "threshold": st.integers(1, 5)}),
        crowd=st.sampled_from([9, 0]),
    )
    def begin(self, policy: dict[str, Any], crowd: int) -> None:
        self.rules = Rules(policy_fields(**policy), self.happened)
        self.room = Room(self.redis, self.rules.policy)
        self.room.set_clock()
        self.largest_burst = self.rules.most
        self._look_again()
        for user in USERS[:crowd]:
            self.visit(user, 0, "check")

    # --- What happens -------------------------------------------------------------------------------------------------

    @rule(user=users, process=processes, mode=st.sampled_from(["check", "check", "status", "buy"]))
    def visit(self, user: uuid.UUID, process: int, mode: Any) -> None:
        before, directly = self.picture, self.happened["let in directly"]
        self._visit(user, process, mode)
        after = self._look_again()
        if self.happened["let in directly"] > directly:
            assert not before.line
            self._were_let_in(1, after)
        self._check_change(before, after, caller=str(user))

    def _visit(self, user: uuid.UUID, process: int, mode: Any) -> None:
        client, sold = self.clients[user], None
        if mode == "buy":
            found, sold = self._call(process, lambda: self._enter(user, client))
        else:
            found = self._call(process, lambda: self.room.visit(user, mode, pass_=client.pass_, ticket=client.ticket))
        expected = self.rules.visit(user, mode, client.pass_, client.ticket)
        assert found.state == expected
        assert found.position == (self.rules.order.index(user) + 1 if expected == "waiting" else 0)
        assert (found.size, found.active) == (len(self.rules.line), len(self.rules.inside))
        assert sold == (b"bought" if mode == "buy" and expected in ("active", "off") else None)
        if expected == "waiting":
            assert found.score == self.rules.line[user]
            client.ticket = ticket_of(found)
        if expected == "active":
            assert found.admitted_until == self.rules.inside[user] > found.now
            client.pass_ = pass_of(found)
        self._saw(process, found.size)

    def _enter(self, user: uuid.UUID, client: Client) -> tuple[QueueState, Any]:
        visitor = Visitor(user, client.pass_, client.ticket)
        found: tuple[QueueState, Any] = self.room.call(
            store.check_in_and_run, script=self.guarded.script, visitor=visitor, guarded_keys=[], guarded_args=[]
        )
        return found

    @rule(group=st.permutations(USERS), seconds=st.sampled_from([0, 1, 5, 30]), process=processes)
    def many_come_within_a_microsecond(self, group: list[uuid.UUID], seconds: int, process: int) -> None:
        self._pass(seconds * SECOND)
        for user in group[2:]:
            self.visit(user, process, "check")

    @rule(
        silent=st.just(set()) | st.sets(users, max_size=4),
        are_done=st.booleans(),
        seconds=st.integers(1, 4),
        process=processes,
    )
    def they_wait(self, silent: set[uuid.UUID], are_done: bool, seconds: int, process: int) -> None:
        """All but some are heard of, and there is a tick, each second; whoever is inside may buy."""
        for _ in range(seconds):
            self._pass(SECOND)
            for user in [*self.rules.order, *sorted(self.rules.inside)]:
                if user not in silent:
                    self._visit(user, process, "status")
            self._look_again()
            for user in sorted(self.rules.inside) if are_done else []:
                self.leave(user, process, "bought")
            self.tick([process])

    @rule(user=users, process=processes, cause=st.sampled_from(["left", "bought", "cancelled"]))
    def leave(self, user: uuid.UUID, process: int, cause: str) -> None:
        before = self.picture
        had_run_out = before.kept_until.get(str(user), self.rules.now + 1) <= self.rules.now
        gone = self._call(process, lambda: self.room.leave(user, cause))
        assert gone == self.rules.leave(user, cause) or had_run_out
        self._check_change(before, self._look_again(), caller=str(user))

    @rule(group=st.sets(users, min_size=1), eighths=st.integers(0, 64), process=processes)
    def some_are_silent_and_come_back(self, group: set[uuid.UUID], eighths: int, process: int) -> None:
        """Silent for as long as others are patient, and some time more."""
        self._pass(self.rules.policy["idle"] // 2)
        for user in self.rules.order:
            if user not in group:
                self._visit(user, process, "status")
        self._pass(self.rules.policy["idle"] // 2)
        self._look_again()
        self.tick([process])
        self._pass(eighths * SECOND // 8)
        for user in sorted(group):
            self.visit(user, process, "status")

    @rule(workers=st.lists(processes, min_size=1, max_size=3))
    def tick(self, workers: list[int]) -> None:
        """By two workers, within a microsecond."""
        for process in workers:
            before = self.picture
            admitted = self._call(process, self.room.admit)
            assert admitted == [str(user) for user in self.rules.tick()]
            after = self._look_again()
            stay = list(after.line)
            assert [user for user in before.line if user in {*admitted, *stay}] == admitted + stay  # oldest first
            if admitted:
                self._were_let_in(len(admitted), after)
            self._check_change(before, after, admitted=admitted)
            self._saw(process, len(stay))

    @rule(process=processes)
    def look(self, process: int) -> None:
        found = self._call(process, self.room.look)
        assert (found.size, found.position) == (len(self.rules.line), 0)
        self.rules.put_out_due()
        self._look_again()
        self._saw(process, found.size)

    @rule(eighths=st.sampled_from([1, 4, 8, 20, 40, 64, 200, 800]))
    def time_passes(self, eighths: int) -> None:
        self._pass(eighths * SECOND // 8)

    @rule(seconds=st.integers(1, 100), process=processes)
    def clock_is_set_back(self, seconds: int, process: int) -> None:
        self.tick([process] * len(USERS))  # users that are due are forgotten, also in small chunks
        self.room.change()  # and what has flowed into the bucket is noted; it would be lost
        self._pass(-seconds * SECOND)
        self.tick([process])

    @rule(
        changes=st.fixed_dictionaries({}, optional={**limits, **durations, "paused": st.integers(0, 1)}),
        seconds=st.integers(0, 3),
        process=processes,
    )
    def change_policy(self, changes: dict[str, Any], seconds: int, process: int) -> None:
        self._pass(seconds * SECOND)
        self._change(changes)
        self.tick([process])

    def _change(self, changes: dict[str, Any]) -> None:
        self.rules.change(changes)  # the room has the same
        self.room.change()
        self.largest_burst = max(self.largest_burst, self.rules.most)

    @rule(switch=st.sampled_from([{"paused": 1}, {"closed": 1}, {"is_on": 0}]), user=users, process=processes)
    def nobody_is_let_in_for_a_while(self, switch: dict[str, int], user: uuid.UUID, process: int) -> None:
        self._change(switch)
        self.visit(user, process, "check")
        self.they_wait(silent=set(), are_done=True, seconds=2, process=process)
        self.visit(user, process, "buy")
        self._change({"paused": 0, "closed": 0, "is_on": 1})

    @precondition(lambda self: len(self.rules.line) > 1)
    @rule(process=processes)
    def clear(self, process: int) -> None:
        assert self._call(process, self.room.clear) == self.rules.clear()
        self.remembered[process] = None
        self._look_again()

    @precondition(lambda self: self.rules.line or self.rules.inside)
    @rule(restarted=st.sets(processes), back=st.permutations(USERS), absent=st.integers(0, 9), process=processes)
    def redis_loses_everything(self, restarted: set[int], back: list[uuid.UUID], absent: int, process: int) -> None:
        """All but some come back, in any order, with what they were given, after somebody who has nothing.

        The last one leaves and comes back again.
        """
        self.losses += 1
        self._pass(SECOND + self.losses)  # no two epochs begin at the same moment, however the clock is set
        self.rules.lose_everything()
        self.room.lose_everything()
        self._begin_anew()
        self._look_again()
        self.largest_burst = self.rules.most
        for one in restarted:
            self.crowds[one] = {}
            self.remembered[one] = None
        for user in back[:absent]:
            self.clients[user] = Client()
        for user in back[:1]:
            self.visit(user, process, "check")
        for user in back[absent:]:
            self.visit(user, process, "status")
        self.leave_and_come_back(back[-1], process)

    @rule(user=users, process=processes)
    def leave_and_come_back(self, user: uuid.UUID, process: int) -> None:
        self.leave(user, process, "left")
        self.visit(user, process, "check")

    # --- What must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def redis_holds_what_the_rules_say(self) -> None:
        found, rules = self.picture, self.rules
        found.check_agreement()
        assert list(found.line.items()) == [(str(user), rules.line[user]) for user in rules.order]
        assert found.until == {str(user): until for user, until in rules.inside.items()}
        assert {**found.seen, **found.seen_inside} == {str(user): seen for user, seen in rules.seen.items()}
        kept = {user: place for user, place in found.kept.items() if found.kept_until[user] > rules.now}
        assert kept == {str(user): place for user, (place, until) in rules.kept.items() if until > rules.now}

    def _check_change(
        self, before: Picture, after: Picture, *, caller: str | None = None, admitted: list[str] | None = None
    ) -> None:
        """What one call may change, judged by what stood in Redis before and after it. `caller` is None for a tick."""
        now, policy = self.rules.now, self.rules.policy
        assert [user for user in after.line if user in before.line] == [u for u in before.line if u in after.line]
        assert after.line.keys() - before.line.keys() <= {caller}
        assert after.inside - before.inside <= {caller, *(admitted or ())}
        if caller is None and self.rules.is_sent_away:
            return
        lost = before.line.keys() - after.line.keys() - after.inside - {caller}
        if caller is not None:
            assert not lost
        assert all(min(before.seen[user], now) <= now - policy["idle"] for user in lost)
        assert policy["grace"] == 0 or all(after.kept.get(user) == before.line[user] for user in lost)
        assert all(
            before.until[user] <= now or min(before.seen_inside[user], now) <= now - policy["active_idle"]
            for user in before.inside - after.inside - {caller}
        )

    def _were_let_in(self, times: int, after: Picture) -> None:
        """Never more inside than the threshold, and at no time more than a burst and what the rate allows."""
        assert len(after.inside) <= self.rules.policy["threshold"]
        self.admissions.append((self.allowed, times))
        total = 0
        for allowed, some in reversed(self.admissions):
            total += some
            assert total <= self.largest_burst + self.allowed - allowed

    # --- How ----------------------------------------------------------------------------------------------------------

    def _look_again(self) -> Picture:
        self.picture = Picture.of(self.room)
        return self.picture

    def _call(self, process: int, call: Callable[[], Any]) -> Any:
        store._last_seen_queues.clear()
        store._last_seen_queues.update(self.crowds[process])
        answer = call()
        self.crowds[process] = dict(store._last_seen_queues)
        self.rules.call(self.remembered[process])
        return answer

    def _saw(self, process: int, size: int) -> None:
        self.remembered[process] = self.rules.epoch if size else None

    def _pass(self, us: int) -> None:
        self.allowed += max(0, us) * self.rules.policy["rate"] / SECOND
        self.rules.time_passes(us)
        self.room.set_clock(by=us / SECOND)
