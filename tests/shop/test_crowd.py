"""Simulated buyers: they wait, buy and give up, and what they have bought can be given back."""

import asyncio
import os
import random
import subprocess
import sys
import time
from typing import Any

import pytest

from crowd import crowd
from crowd.api import FIRST_BUYER, LAST_BUYER, Api
from crowd.buyers import Habits, State, neighbours
from tests.support.harness import (
    INTERNAL_TOKEN,
    ROOT,
    STANDING,
    THEATRE,
    TOKENS,
    Database,
    assert_books_agree,
    wait_until,
)
from tests.support.shop import Shop, ticking
from tests.support.waiting_room import overview, set_policy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

FAST = Habits(pace=40)


def send(shop: Shop, event: str, buyers: int, habits: Habits = FAST) -> tuple[Any, list[str]]:
    said: list[str] = []

    async def run() -> Any:
        api = Api(f"http://127.0.0.1:{shop.web.port}", jwt_secret=TOKENS["jwt_secret"], internal_token=INTERNAL_TOKEN)
        try:
            return await crowd.run(api, crowd.Plan(event=event, buyers=buyers, habits=habits, seed=7), say=said.append)
        finally:
            await api.close()

    return asyncio.run(run()), said


@pytest.mark.parametrize("event", [THEATRE, pytest.param(STANDING, marks=pytest.mark.long)])
def test_a_crowd_waits_buys_and_gives_up(shop: Shop, sale: Database, event: str) -> None:
    set_policy(shop.web, event, threshold=10)
    tally, said = send(shop, event, 60)

    assert sum(tally.states.values()) == 60
    ended = {state for state, count in tally.states.items() if count}
    assert ended <= {State.BOUGHT, State.GAVE_UP, State.FOUND_NOTHING}
    assert tally.states[State.BOUGHT] >= 30, said
    assert tally.errors == {}
    bought = sale.one(
        "SELECT coalesce(sum(i.quantity), 0) FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id"
        " WHERE r.event_id = %s AND r.status = 'confirmed' AND r.user_id BETWEEN %s AND %s",
        event, FIRST_BUYER, LAST_BUYER,
    )  # fmt: skip
    assert bought == tally.tickets
    assert "bought" in said[-1]
    assert_books_agree(event)


def test_neighbours_sit_beside_each_other() -> None:
    seats = [
        {"id": f"{row}-{number}", "section": "R", "row_number": row, "seat_number": number, "price": 1000,
         "status": "sold" if number == 3 else "available"}
        for row in (1, 2) for number in range(1, 6)
    ]  # fmt: skip
    for _ in range(20):
        assert neighbours(seats, 2, random.Random()) in (["1-1", "1-2"], ["1-4", "1-5"], ["2-1", "2-2"], ["2-4", "2-5"])
    assert neighbours(seats, 3, random.Random()) is None


@pytest.mark.long
def test_the_demo_crowd_can_be_stopped_and_its_sale_be_reset(shop: Shop, world: Database, database_url: str) -> None:
    from demo.catalogue import SHOWS
    from demo.loading import event_id, load_demo

    world.settle()
    load_demo(refresh=True, say=lambda _: None)
    event = str(event_id(next(show for show in SHOWS if show.slug == "bus-stop")))
    command = [
        sys.executable,
        "manage.py",
        "demo_crowd",
        "--event",
        "bus-stop",
        "--base",
        f"http://127.0.0.1:{shop.web.port}",
    ]
    environment = {**os.environ, "DATABASE_URL": database_url}
    with ticking(event):
        running = subprocess.Popen(
            [*command, "--buyers", "80", "--within", "5", "--pace", "10", "--seed", "1"],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        sold = "SELECT count(*) FROM seats WHERE event_id = %s AND status = 'sold'"
        wait_until(lambda: world.one(sold, event) > 10, seconds=60)
        running.terminate()
        said, _ = running.communicate(timeout=20)
        assert running.returncode == 0, said
        assert "bought" in said
        assert world.one(sold, event) > 0
        time.sleep(1)
        reset = subprocess.run(
            [*command, "--reset"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
    assert "were ended" in reset.stdout
    assert world.one("SELECT count(*) FROM seats WHERE event_id = %s AND status <> 'available'", event) == 0
    assert overview(shop.web, event) == (0, 0)
    assert_books_agree(event)
