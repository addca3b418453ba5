"""Policies and draws."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from events.errors import EventNotFound
from events.models import Event
from events.selectors import IS_OVER
from kernel.db.sql import fetch_all
from queueing.challenges import join_challenge
from queueing.errors import NoChallenge, NoDraw
from queueing.models import QueueDraw

# The columns of `queue_policies`, and the setting that applies where the column is NULL.
DEFAULTS = {
    "is_on": "QUEUE_ENABLED",
    "threshold": "QUEUE_THRESHOLD",
    "admissions_per_second": "QUEUE_ADMISSIONS_PER_SECOND",
    "burst": "QUEUE_BURST",
    "admission_seconds": "QUEUE_ADMISSION_SECONDS",
    "idle_seconds": "QUEUE_IDLE_SECONDS",
    "grace_seconds": "QUEUE_GRACE_SECONDS",
    "active_idle_seconds": "QUEUE_ACTIVE_IDLE_SECONDS",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """An event's policy, with defaults filled in."""

    is_on: bool
    is_paused: bool
    is_closed: bool  # the event is over or was cancelled: there is nothing to wait for
    threshold: int
    admissions_per_second: float
    burst: int
    admission_seconds: int
    idle_seconds: int
    grace_seconds: int
    active_idle_seconds: int
    opens_at: datetime | None
    cleared_at: datetime | None
    sale_starts_at: datetime
    sale_ends_at: datetime
    seed: str  # empty unless places are drawn by lot
    # The snapshot of PostgreSQL at which it was read: the first transaction that had not begun, and how many of the earlier
    # ones had not ended. Of two snapshots the later one has a higher xmax, or the same and fewer unfinished.
    xmax: int
    unfinished: int

    def as_fields(self) -> dict[str, str | int | float]:
        """As lua/set_policy.lua takes it: moments and durations in microseconds."""
        return {
            "xmax": self.xmax,
            "unfinished": self.unfinished,
            "is_on": int(self.is_on),
            "paused": int(self.is_paused),
            "closed": int(self.is_closed),
            "threshold": self.threshold,
            "rate": self.admissions_per_second,
            "burst": self.burst,
            "admission": self.admission_seconds * 1_000_000,
            "idle": self.idle_seconds * 1_000_000,
            "grace": self.grace_seconds * 1_000_000,
            "active_idle": self.active_idle_seconds * 1_000_000,
            "opens": microseconds(self.opens_at),
            "cleared": microseconds(self.cleared_at),
            "sale_from": microseconds(self.sale_starts_at),
            "sale_to": microseconds(self.sale_ends_at),
            "seed": self.seed,
        }


def microseconds(moment: datetime | None) -> int:
    """Since 1970; 0 for none."""
    return round(moment.timestamp() * 1_000_000) if moment else 0


_POLICY = f"""
SELECT e.status = 'cancelled' OR {IS_OVER} AS is_closed, e.sale_start_date AS sale_starts_at,
       least(e.sale_end_date, e.event_date) AS sale_ends_at, {", ".join(f"p.{column}" for column in DEFAULTS)},
       coalesce(p.is_paused, false) AS is_paused, p.opens_at, p.cleared_at, coalesce(d.seed, '') AS seed,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xmax,
       (SELECT count(*) FROM pg_snapshot_xip(pg_current_snapshot())) AS unfinished
FROM events e LEFT JOIN queue_policies p ON p.event_id = e.id LEFT JOIN queue_draws d ON d.event_id = e.id
WHERE e.id = %(event_id)s
"""


def policy_of(event_id: UUID) -> Policy:
    """Raises EventNotFound. One round trip."""
    rows = fetch_all(_POLICY, {"event_id": event_id})
    if not rows:
        raise EventNotFound
    defaults = {column: getattr(settings, name) for column, name in DEFAULTS.items() if rows[0][column] is None}
    return Policy(**{**rows[0], **defaults})


def join_challenge_parameters() -> dict[str, Any] | None:
    """What a client needs to know of the join challenge: `type`, and what depends on it. None if there is none."""
    challenge = join_challenge()
    return challenge.parameters() if challenge else None


def challenge_for(*, event_id: UUID, user_id: UUID) -> dict[str, Any]:
    """What this user has to solve to join the queue of this event. Raises NoChallenge."""
    challenge = join_challenge()
    if challenge is None:
        raise NoChallenge
    return challenge.issue(event_id=event_id, user_id=user_id)


def draw_of(event_id: UUID) -> QueueDraw:
    """The draw with its event's opening time (`event.queue_policy.opens_at`). Raises EventNotFound or NoDraw."""
    draw = QueueDraw.objects.select_related("event__queue_policy").filter(event_id=event_id).first()
    if draw is not None:
        return draw
    raise NoDraw if Event.objects.filter(id=event_id).exists() else EventNotFound


def shown(policy: Policy) -> dict[str, Any]:
    """The columns that an administrator may set, with defaults filled in."""
    return {name: getattr(policy, name) for name in (*DEFAULTS, "is_paused", "opens_at")}
