"""Round trips to PostgreSQL and Redis, counted on the wire between the `web` process and the servers."""

import pytest

from queueing.services import admit_next
from tests.support.harness import HALL, STANDING, STANDING_A, Database, new_user, seat
from tests.support.round_trips import Counted


@pytest.fixture
def counted(counted_web: Counted, world: Database) -> Counted:
    """A process that has done everything a few times: connections open, statements prepared, scripts loaded."""
    for n in range(12):  # psycopg prepares a statement that a connection has seen a few times, and there may be two
        user = new_user()
        reservation = counted_web.api.reserve(user, HALL, seat(1, 11 + n % 6)).json["reservation"]["id"]
        counted_web.api.cancel(user, reservation)
        counted_web.api.buy(user, STANDING, **{STANDING_A: 1})
        counted_web.api.get(f"/seats/events/{HALL}")
        counted_web.api.get(f"/events/{HALL}")
        counted_web.api.get("/events")
        counted_web.api.get(f"/tickets/availability/{STANDING_A}")
    # A visit asks for an admission round where there was none lately, which is one more round trip; and there is none where
    # nobody waits and nobody is active.
    counted_web.api.reserve(new_user(), HALL, seat(1, 17))
    admit_next()
    return counted_web


def test_reserving_takes_one_round_trip_to_postgresql_and_two_to_redis(counted: Counted, world: Database) -> None:
    user = new_user()
    assert counted.during(lambda: counted.api.reserve(user, HALL, seat(1, 1))) == (1, 2)
    named = {"Idempotency-Key": "k"}
    assert counted.during(lambda: counted.api.reserve(user, HALL, seat(1, 2), headers=named)) == (1, 2)


def test_taking_over_a_hold_that_is_past_its_time_takes_three_to_postgresql(counted: Counted, world: Database) -> None:
    world.expire(counted.api.reserve(new_user(), HALL, seat(1, 1)).json["reservation"]["id"])
    postgresql, redis = counted.during(lambda: counted.api.reserve(new_user(), HALL, seat(1, 1)))
    assert postgresql == 3
    assert redis == 3  # the third one tells that the seat was free for a moment


def test_the_other_operations_take_one(counted: Counted, world: Database) -> None:
    user = new_user()
    assert counted.during(lambda: counted.api.buy(user, STANDING, **{STANDING_A: 1})) == (1, 2)
    reservation = counted.api.reserve(user, HALL, seat(1, 1)).json["reservation"]["id"]
    assert counted.during(lambda: counted.api.confirm(reservation, 150_000)) == (
        1,
        2,
    )  # seats, and the place in the waiting room
    assert counted.during(lambda: counted.api.cancel(user, reservation)) == (1, 2)


def test_what_is_cached_takes_one_round_trip_to_redis(counted: Counted, world: Database) -> None:
    for path in (f"/seats/events/{HALL}", "/events"):
        counted.api.get(path)
        # The least of a few: an entry may expire in between, and a connection be opened.
        assert min(counted.during(lambda path=path: counted.api.get(path)) for _ in range(3)) == (0, 1)
    assert counted.during(lambda: counted.api.get(f"/tickets/availability/{STANDING_A}")) == (1, 0)
