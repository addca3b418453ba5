"""How long somebody will wait, from how many were let in during the last minute. Not from the rate that is allowed:
what counts is how fast places inside become free.
"""

from dataclasses import dataclass
from math import ceil, sqrt

from queueing.waiting_room import Found

# 90 of 100 times the true rate lies within so many standard deviations; arrivals at the door are nearly random.
DEVIATIONS = 1.645
FEWEST = 5  # admissions; of fewer nothing is said
LONGEST = 365 * 86_400  # seconds; a rate near nothing would foresee more than JSON can say


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds. `most` is None if there is no telling. `is_measured`: else it is only what the policy would allow."""

    seconds: int
    least: int
    most: int | None
    is_measured: bool


def estimate(found: Found) -> Estimate:
    """The wait of who stands at `found.position`."""
    until_opening = max(0, found.opens - found.now) / 1_000_000
    ahead = found.position
    if found.outflow >= FEWEST and found.outflow_us > 0 and not found.is_paused and found.is_ticking:
        minute = found.outflow_us / 1_000_000
        uncertain = DEVIATIONS * sqrt(found.outflow)
        slowest = found.outflow - uncertain
        return Estimate(
            seconds=_whole(ahead * minute / found.outflow),
            least=_whole(ahead * minute / (found.outflow + uncertain)),
            most=_whole(ahead * minute / slowest) if slowest > 0 else None,
            is_measured=True,
        )
    soonest = _whole(until_opening + (ahead / found.rate if found.rate > 0 else 0))
    return Estimate(seconds=max(1, soonest), least=soonest, most=None, is_measured=False)


def _whole(seconds: float) -> int:
    return ceil(min(seconds, LONGEST))
