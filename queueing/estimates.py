"""How long a user will wait, from the admissions of the last minute: the rate at which active users really become fewer.

The policy's rate is only the fallback, as long as nothing was measured.
"""

from dataclasses import dataclass
from math import ceil, sqrt

from queueing.states import QueueState

# In 90 of 100 cases the true rate lies within so many standard deviations: admissions are nearly a Poisson process.
DEVIATIONS = 1.645
MIN_ADMISSIONS = 5  # with fewer nothing is said
MAX_SECONDS = 365 * 86_400  # a rate near 0 would make more than JSON can say


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds. `most` is None if there is no upper bound. Unless `is_measured`, it is what the policy would allow."""

    seconds: int
    least: int
    most: int | None
    is_measured: bool


def estimate_wait(queue: QueueState) -> Estimate:
    """Of the user at `queue.position`."""
    ahead = queue.position
    if queue.outflow >= MIN_ADMISSIONS and queue.outflow_us > 0 and not queue.is_paused and queue.has_rounds:
        seconds = queue.outflow_us / 1_000_000
        uncertainty = DEVIATIONS * sqrt(queue.outflow)
        fewest = queue.outflow - uncertainty
        return Estimate(
            seconds=_whole(ahead * seconds / queue.outflow),
            least=_whole(ahead * seconds / (queue.outflow + uncertainty)),
            most=_whole(ahead * seconds / fewest) if fewest > 0 else None,
            is_measured=True,
        )
    until_opening = max(0, queue.opens - queue.now) / 1_000_000
    soonest = _whole(until_opening + (ahead / queue.rate if queue.rate > 0 else 0))
    return Estimate(seconds=max(1, soonest), least=soonest, most=None, is_measured=False)


def _whole(seconds: float) -> int:
    return ceil(min(seconds, MAX_SECONDS))
