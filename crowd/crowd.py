"""A thousand buyers at once: they come within some seconds, and it is told what they do."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from crowd.api import Api, buyer_id
from crowd.buyers import Buyer, Habits, State, Tally

REPORT_SECONDS = 3.0
Say = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many come to which event, within how many seconds. The same `seed` makes the same crowd."""

    event: str
    buyers: int = 1000
    arrive_within: float = 30.0
    habits: Habits = field(default_factory=Habits)
    seed: int = 0


async def run(api: Api, plan: Plan, *, say: Say) -> Tally:
    """Let a crowd buy, until the last one has bought or given up. It can be cancelled at any time."""
    tally, chance = Tally(), random.Random(plan.seed)  # noqa: S311 - no secret
    reporting = asyncio.create_task(_report(tally, say))
    try:
        async with asyncio.TaskGroup() as people:
            for _ in range(plan.buyers):
                user = buyer_id(chance.getrandbits(47))
                own = random.Random(chance.random())  # noqa: S311
                buyer = Buyer(api, plan.event, user, habits=plan.habits, tally=tally, chance=own)
                people.create_task(_arrive(buyer, own.uniform(0, plan.arrive_within / plan.habits.pace)))
    finally:
        reporting.cancel()
        say(described(tally))
    return tally


async def _arrive(buyer: Buyer, after: float) -> None:
    await asyncio.sleep(after)
    await buyer.run()


async def _report(tally: Tally, say: Say) -> None:
    while True:
        await asyncio.sleep(REPORT_SECONDS)
        say(described(tally))


def described(tally: Tally) -> str:
    """Return one line that says what the crowd is doing."""
    states = ", ".join(f"{tally.states[state]:>4} {state}" for state in State if tally.states[state])
    rest = "".join(f"; {count} x {error}" for error, count in tally.errors.most_common(3))
    return f"{states}; {tally.tickets} tickets sold, {tally.conflicts} times somebody else was faster{rest}"
