"""One simulated buyer: joins, waits, looks, chooses, pays or gives up; at the pace of people, or faster."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from crowd.api import Api, ErrorResponse


class State(StrEnum):
    """What a buyer is doing, or how it has ended."""

    COMING = "coming"
    WAITING = "waiting"
    CHOOSING = "choosing"
    PAYING = "paying"
    BOUGHT = "bought"
    GAVE_UP = "gave up"
    FOUND_NOTHING = "found nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How people behave. Times are seconds, as (least, most); chances are from 0 to 1. `pace` 10 is ten times as fast."""

    pace: float = 1.0
    look: tuple[float, float] = (4, 20)  # at the map, before a choice
    hesitate: tuple[float, float] = (5, 30)  # with seats in hand
    card: tuple[float, float] = (3, 9)  # at the payment page
    poll: tuple[float, float] = (6, 10)  # while waiting
    leaves_queue: float = 0.01  # each time it looks how the line stands
    cancels: float = 0.08
    vanishes: float = 0.08
    declined: float = 0.05  # a card, the first time
    party: Sequence[int] = (1, 2, 2, 2, 3, 4)  # how many tickets
    choices: int = 4  # how often it tries, when others were faster


@dataclass(slots=True)
class Tally:
    """What a crowd is doing, and has done."""

    states: Counter[State] = field(default_factory=Counter)
    tickets: int = 0
    conflicts: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def move(self, before: State, after: State) -> None:
        self.states[before] -= 1
        self.states[after] += 1


class Buyer:
    """One person. `run` ends when the person has bought or given up."""

    def __init__(
        self, api: Api, event: str, user: uuid.UUID, *, habits: Habits, tally: Tally, chance: random.Random
    ) -> None:
        self._api, self._event, self._habits, self._tally, self._chance = api, event, habits, tally, chance
        self._bearer = api.bearer(user)
        self._state = State.COMING
        tally.states[State.COMING] += 1

    async def run(self) -> State:
        try:
            await self._buy()
        except ErrorResponse as refusal:
            self._tally.errors[str(refusal)] += 1
            self._become(State.GAVE_UP)
        return self._state

    async def _buy(self) -> None:
        if not await self._wait_in_line():
            return self._become(State.GAVE_UP)
        self._become(State.CHOOSING)
        reservation = await self._choose()
        if reservation is None:
            await self._api.post(f"/queue/leave/{self._event}", headers=self._bearer)
            return self._become(State.FOUND_NOTHING)
        return await self._pay_or_not(reservation)

    def _become(self, state: State) -> None:
        self._tally.move(self._state, state)
        self._state = state

    async def _pause(self, span: tuple[float, float]) -> None:
        await asyncio.sleep(self._chance.uniform(*span) / self._habits.pace)

    def _happens(self, probability: float) -> bool:
        return self._chance.random() < probability

    # --- The steps

    async def _wait_in_line(self) -> bool:
        found = await self._api.post(f"/queue/check/{self._event}", headers=self._bearer)
        while found["state"] != "active":
            self._become(State.WAITING)
            await self._pause(self._habits.poll)
            if self._happens(self._habits.leaves_queue):
                await self._api.post(f"/queue/leave/{self._event}", headers=self._bearer)
                return False
            found = await self._api.get(f"/queue/status/{self._event}", self._bearer)
            if found["state"] == "none":  # cleared, or silent for too long
                return False
        return True

    async def _choose(self) -> dict[str, Any] | None:
        """Return a reservation, or None if everything was gone, or somebody faster each time."""
        for _ in range(self._habits.choices):
            await self._pause(self._habits.look)
            request = await self._wish()
            if request is None:
                return None
            try:
                answer = await self._api.post(*request, self._bearer)
            except ErrorResponse as refusal:
                if refusal.status != 400:
                    raise
                self._tally.conflicts += 1
                continue
            reservation: dict[str, Any] = answer["reservation"]
            return reservation
        return None

    async def _wish(self) -> tuple[str, Any] | None:
        """Return the request for what this person would like, or None if there is nothing."""
        party = self._chance.choice(self._habits.party)
        types = (await self._api.get(f"/events/{self._event}"))["ticketTypes"]
        if types:
            left = [one for one in types if one["available_quantity"] >= party]
            items = [{"ticketTypeId": self._chance.choice(left)["id"], "quantity": party}] if left else []
            return ("/reservations", {"eventId": self._event, "items": items}) if items else None
        seats = (await self._api.seat_map(self._event))["seats"]
        chosen = neighbours(seats, party, self._chance) or neighbours(seats, 1, self._chance)
        return ("/seats/reserve", {"eventId": self._event, "seatIds": chosen}) if chosen else None

    async def _pay_or_not(self, reservation: dict[str, Any]) -> None:
        self._become(State.PAYING)
        await self._pause(self._habits.hesitate)
        if self._happens(self._habits.vanishes):
            return self._become(State.GAVE_UP)  # and the hold lapses
        if self._happens(self._habits.cancels):
            await self._api.post(f"/reservations/{reservation['id']}/cancel", headers=self._bearer)
            return self._become(State.GAVE_UP)
        for is_last in (not self._happens(self._habits.declined), True):
            await self._api.pay(reservation["id"], "begin-payment")
            await self._pause(self._habits.card)
            if is_last:
                break
            await self._api.pay(reservation["id"], "fail-payment")
        payment = {"amount": reservation["totalAmount"], "paymentMethod": "card", "paymentId": f"crowd:{uuid.uuid4()}"}
        await self._api.pay(reservation["id"], "confirm", payment)
        detail = await self._api.get(f"/seats/reservation/{reservation['id']}", self._bearer)
        self._tally.tickets += sum(item.get("quantity", 1) for item in detail["reservation"]["seats"])
        return self._become(State.BOUGHT)


def neighbours(seats: Sequence[dict[str, Any]], count: int, chance: random.Random) -> list[str] | None:
    """Return the ids of `count` available seats side by side, rather in front than behind; None if there are none."""
    runs: list[list[dict[str, Any]]] = []
    run: list[dict[str, Any]] = []
    for seat in seats:  # by section, row and number
        last = run[-1] if run else None
        follows = last and (last["section"], last["row_number"], last["seat_number"] + 1) == (
            seat["section"],
            seat["row_number"],
            seat["seat_number"],
        )
        run = ([*run, seat] if follows else [seat]) if seat["status"] == "available" else []
        if len(run) >= count:
            runs.append(run[-count:])
    if not runs:
        return None
    tried = [chance.choice(runs) for _ in range(8)]
    best = min(tried, key=lambda each: each[0]["row_number"] - each[0]["price"] / 10_000)
    return [seat["id"] for seat in best]
