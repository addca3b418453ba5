"""The rules of the waiting room written a second time, as plainly as possible: what must come out of each call."""

import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from queueing.states import QueuePass, QueueTicket
from tests.support.waiting_room_clock import SECOND, START

REBUILD = 4 * SECOND


@dataclass
class Rules:
    """One event's line and inside. Moments in us; times are multiples of 1/8 s and rates of 0.5: nothing is rounded."""

    policy: dict[str, Any]
    happened: Counter[str]
    now: int = START
    line: dict[uuid.UUID, int] = field(default_factory=dict)  # places
    inside: dict[uuid.UUID, int] = field(default_factory=dict)  # until when
    seen: dict[uuid.UUID, int] = field(default_factory=dict)  # of all of them
    kept: dict[uuid.UUID, tuple[int, int]] = field(default_factory=dict)  # place, until when
    redeemed: set[uuid.UUID] = field(default_factory=set)
    epoch: int | None = None
    tokens: float = 0
    last: int = 0
    cleared: int = 0
    rebuild: int | None = None

    @property
    def most(self) -> float:
        return max(self.policy["burst"], self.policy["rate"])

    @property
    def order(self) -> list[uuid.UUID]:
        return sorted(self.line, key=lambda user: (self.line[user], str(user)))

    @property
    def is_open(self) -> bool:
        return not self.policy["paused"] and not self.policy["closed"] and (self.rebuild or 0) <= self.now

    @property
    def is_sent_away(self) -> bool:
        return bool(self.policy["closed"] or not self.policy["is_on"])

    # --- What happens -------------------------------------------------------------------------------------------------

    def time_passes(self, us: int) -> None:
        """Less than 0: the clock is set back."""
        self.now += us
        self.tokens = min(self.most, self.tokens + max(0, us) * self.policy["rate"] / SECOND)

    def change(self, changes: dict[str, Any]) -> None:
        self.policy |= changes
        self.tokens = min(self.most, self.tokens)

    def lose_everything(self) -> None:
        self.line, self.inside, self.seen, self.kept, self.redeemed = {}, {}, {}, {}, set()
        self.epoch, self.rebuild, self.last, self.cleared = None, None, 0, 0

    def call(self, remembered: int | None) -> None:
        """What every call begins with. `remembered`: the epoch in which its process has seen a crowd."""
        if self.epoch is None:
            self.epoch, self.tokens = self.now, self.most
        if remembered not in (None, self.epoch):
            self._rebuild()
        if self.rebuild is not None:
            self.rebuild = min(self.rebuild, self.now + REBUILD)

    def visit(self, user: uuid.UUID, mode: str, pass_: QueuePass | None, ticket: QueueTicket | None) -> str:
        """The state that must be found."""
        self.put_out_due()
        if self.is_sent_away:
            return "closed" if self.policy["is_on"] else "off"
        if user in self.inside:
            self.seen[user] = self.now
            return "active"
        if user in self.line:
            return self._stand(user, self.line[user])
        place, until = self.kept.pop(user, (0, 0))
        if until > self.now:
            self.happened["came back"] += 1
            return self._stand(user, place)
        if self._was_lost(user, pass_) and pass_.until > self.now:
            return self._give_back_inside(user, pass_)
        if self._was_lost(user, ticket) and max(self.epoch - ticket.issued, self.now - self.epoch) < self._patience:
            return self._give_back_in_line(user, ticket)
        if mode == "status":
            return "none"
        if self.is_open and not self.line and len(self.inside) < self.policy["threshold"] and self.tokens >= 1:
            self.tokens -= 1
            self.happened["let in directly"] += 1
            return self._let_in(user, self.now + self.policy["admission"])
        if mode == "buy":
            self.happened["refused at the door"] += 1
            return "none"
        self.last = max(self.now, self.last + 1)
        self.happened["joined"] += 1
        return self._stand(user, self.last)

    def tick(self) -> list[uuid.UUID]:
        """The users who must be let in."""
        if self.is_sent_away:
            self.line, self.inside, self.seen, self.kept = {}, {}, {}, {}
        self.seen = {user: min(seen, self.now) for user, seen in self.seen.items()}  # the clock may have been set back
        for user, place in list(self.line.items()):
            if self.seen[user] <= self.now - self.policy["idle"]:
                self.happened["dropped"] += 1
                self.kept[user] = place, self.now + self.policy["grace"]
                del self.line[user], self.seen[user]
        self.kept = {user: (place, until) for user, (place, until) in self.kept.items() if until > self.now}
        self.put_out_due()
        room = min(self.policy["threshold"] - len(self.inside), int(self.tokens)) if self.is_open else 0
        admitted = self.order[: max(0, room)]
        for user in admitted:
            del self.line[user]
            self._let_in(user, self.now + self.policy["admission"])
        self.tokens -= len(admitted)
        self.happened["let in by a tick"] += len(admitted)
        return admitted

    def leave(self, user: uuid.UUID, cause: str) -> bool:
        had = self.inside.pop(user, None) is not None
        if cause == "left":
            had |= self.line.pop(user, None) is not None
            had |= self.kept.pop(user, None) is not None
        if user not in self.line:
            self.seen.pop(user, None)
        return had

    def clear(self) -> tuple[int, int]:
        gone = len(self.line), len(self.inside)
        self.line, self.inside, self.seen, self.kept = {}, {}, {}, {}
        self.cleared, self.rebuild = self.now, None
        return gone

    # --- Parts --------------------------------------------------------------------------------------------------------

    def put_out_due(self) -> None:
        for user, until in list(self.inside.items()):
            if until <= self.now or self.seen[user] <= self.now - self.policy["active_idle"]:
                self.happened["ran out" if until <= self.now else "idle inside"] += 1
                del self.inside[user], self.seen[user]

    def _stand(self, user: uuid.UUID, place: int) -> str:
        self.line[user], self.seen[user] = place, self.now
        return "waiting"

    def _let_in(self, user: uuid.UUID, until: int) -> str:
        self.inside[user], self.seen[user] = until, self.now
        return "active"

    # After Redis has lost everything

    @property
    def _patience(self) -> int:
        return self.policy["idle"] + self.policy["grace"]

    def _was_lost(self, user: uuid.UUID, signed: QueuePass | QueueTicket | None) -> bool:
        if signed is None or signed.epoch == self.epoch or user in self.redeemed:
            return False
        return signed.issued > max(self.cleared, self.policy["cleared"])

    def _give_back_inside(self, user: uuid.UUID, pass_: QueuePass) -> str:
        self._rebuild()
        self.redeemed.add(user)
        if len(self.inside) < self.policy["threshold"]:
            self.happened["restored inside"] += 1
            return self._let_in(user, pass_.until)
        self.happened["restored before the line"] += 1
        return self._stand(user, pass_.epoch)

    def _give_back_in_line(self, user: uuid.UUID, ticket: QueueTicket) -> str:
        self._rebuild()
        self.redeemed.add(user)
        self.happened["restored in line"] += 1
        self.last = max(self.last, ticket.score)
        return self._stand(user, ticket.score)

    def _rebuild(self) -> None:
        if self.rebuild is None and not self.cleared and self.now - self.epoch < self._patience:
            self.rebuild, self.tokens = self.now + REBUILD, 0
            self.happened["rebuilt"] += 1
