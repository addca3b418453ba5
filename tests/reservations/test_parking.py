"""One account that wants to keep a hall from others: how many seat-minutes it gets in half an hour."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.harness import THEATRE, Api, Database, new_user, running_web
from tests.support.limited_sale import let_time_pass

pytestmark = pytest.mark.slow

SEATS = 600
AT_ONCE = 4
MINUTES = 30
OFF = {
    "MAX_TICKETS_PER_BUYER": "10000",
    "RELOCK_SECONDS": "0",
    "UNPAID_HOLD_SECONDS": "0",
    "RATE_LIMIT_RESERVE": "100000/min",
}
# A buyer has ten seats at most, and holds something for 900 s of the hour.
BOUND = 10 * 15


def let_lapse(api: Api, world: Database, user: str) -> None:
    """The account does nothing: a minute later the sweep may have ended what is over."""


def give_back_in_time(api: Api, world: Database, user: str) -> None:
    """The account cancels what would lapse within the next minute, and is first to ask for it again."""
    soon = "status = 'pending' AND deadline < now() + interval '61 s'"
    for row in world.rows(f"SELECT id::text FROM reservations WHERE user_id = %s AND {soon}", user):
        assert api.cancel(user, row["id"]).status == 200


def parked(api: Api, world: Database, strategy: Callable[[Api, Database, str], None]) -> int:
    """Seat-minutes, as the database has them each minute, whose clock is moved."""
    from reservations.services import expire_due

    user, total, own = new_user(), 0, set()
    for _ in range(MINUTES):
        expire_due(limit=1000)
        strategy(api, world, user)
        total += take_what_one_can(api, world, user, own)
        let_time_pass(world, user, 60)
    return total


def take_what_one_can(api: Api, world: Database, user: str, own: set[str]) -> int:
    """How many seats the account has then. It asks first for those that it has not had."""
    free = [
        row["id"]
        for row in world.rows(
            "SELECT id::text FROM seats WHERE event_id = %s AND status = 'available' ORDER BY id", THEATRE
        )
    ]
    free.sort(key=own.__contains__)
    for size in (AT_ONCE, 1):
        while free:
            answer = api.reserve(user, THEATRE, *free[:size])
            if answer.status != 201:
                assert answer.json["code"] in ("TICKET_LIMIT_REACHED", "UNPAID_TIME_USED_UP", "SEAT_RECENTLY_RELEASED")
                break
            own.update(free[:size])
            del free[:size]
    held: int = world.one(
        "SELECT count(*) FROM seats WHERE event_id = %s AND status = 'locked' AND id IN (SELECT seat_id"
        " FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id WHERE i.is_live AND user_id = %s)",
        THEATRE,
        user,
    )
    return held


@pytest.mark.parametrize("strategy", [let_lapse, give_back_in_time])
def test_an_account_cannot_keep_a_hall_from_others(
    web: Api, world: Database, strategy: Callable[[Api, Database, str], None], record_property: Callable[..., None]
) -> None:
    world.turn_waiting_rooms_off()
    minutes = parked(web, world, strategy)
    record_property("seat-minutes", minutes)
    print(f"{strategy.__name__}: {minutes} of {SEATS * MINUTES} seat-minutes")
    assert 0 < minutes <= BOUND


@pytest.mark.long
@pytest.mark.parametrize("strategy", [let_lapse, give_back_in_time])
def test_control_without_limits_it_keeps_all(
    database_url: str, world: Database, tmp_path: Path, strategy: Callable[[Api, Database, str], None]
) -> None:
    world.turn_waiting_rooms_off()
    free = world.one("SELECT count(*) FROM seats WHERE event_id = %s AND status = 'available'", THEATRE)
    environment = {"DATABASE_URL": database_url, "WEB_WORKERS": "1", "MAX_SEATS_PER_RESERVATION": "4", **OFF}
    with running_web(tmp_path / "web.log", **environment) as api:
        minutes = parked(api, world, strategy)
    print(f"without limits, {strategy.__name__}: {minutes} of {SEATS * MINUTES} seat-minutes")
    assert minutes > 0.9 * free * MINUTES
