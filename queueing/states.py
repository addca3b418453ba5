"""What is passed between the waiting room's services and its store. Moments are microseconds since 1970 by Redis' clock."""

from dataclasses import dataclass
from typing import Literal, NamedTuple
from uuid import UUID

State = Literal["off", "closed", "active", "waiting", "none"]
Mode = Literal["check", "status", "buy"]
ROUND_MISSED_US = 5_000_000  # admission rounds come every second


@dataclass(frozen=True, slots=True)
class QueuePass:
    """A verified pass: its user was admitted in this epoch."""

    epoch: int
    issued: int
    until: int  # may be over


@dataclass(frozen=True, slots=True)
class QueueTicket:
    """A verified ticket: its user has joined the queue in this epoch."""

    epoch: int
    issued: int
    score: int | None  # None if it is a lot


@dataclass(frozen=True, slots=True)
class Visitor:
    """A user with what they have kept from earlier responses."""

    user_id: UUID
    queue_pass: QueuePass | None = None
    queue_ticket: QueueTicket | None = None


class QueueState(NamedTuple):
    """The state of a queue, of one visitor in it, and the policy that applied: see lua/queue_state.lua."""

    state: State
    position: int  # from 1; 0 for a visitor who does not wait
    score: int
    admitted_until: int
    size: int
    active_before: int
    active: int
    epoch: int
    now: int
    last_round: int
    outflow: int  # admissions from the queue within `outflow_us`, at most a minute
    outflow_us: int
    is_drawn: bool
    is_rebuilding: bool
    threshold: int
    is_paused: bool
    opens: int
    sale_from: int
    sale_to: int
    rate: float
    needs_activation: bool  # no admission round visits the event: see `store.activate_event`

    @property
    def is_before_opening(self) -> bool:
        return self.opens > self.now and not self.is_drawn

    @property
    def has_rounds(self) -> bool:
        return abs(self.now - self.last_round) < ROUND_MISSED_US  # later than now: the clock was set back

    @property
    def can_admit(self) -> bool:
        """By its limits, and because admission rounds come."""
        return self.has_rounds and self.threshold > 0 and self.rate > 0

    @property
    def is_admitting(self) -> bool:
        return self.can_admit and not (self.is_paused or self.is_rebuilding or self.is_before_opening)


class Admission(NamedTuple):
    """Of one user, from the queue."""

    user_id: str
    score: int
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionRound:
    """The result of one call of lua/admit.lua."""

    has_more: bool
    size: int
    active: int
    threshold: int
    is_policy_stale: bool
    is_draw_due: bool
    is_empty: bool
    epoch: int
    now: int
    admitted: list[Admission]
