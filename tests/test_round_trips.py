"""Round trips to PostgreSQL and Redis, counted on the wire between the `web` process and the servers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from tests.conftest import servers
from tests.harness import HALL, STANDING, STANDING_A, Api, Database, new_user, running_web, seat
from tests.round_trips import Counter, counting_proxy


@dataclass
class Counted:
    api: Api
    postgresql: Counter
    redis: Counter

    def during(self, call) -> tuple[int, int]:
        """Round trips to PostgreSQL and to Redis that one request takes."""
        self.postgresql.reset()
        self.redis.reset()
        assert call().status < 300
        return self.postgresql.round_trips, self.redis.round_trips


@pytest.fixture(scope="module")
def process(database_url: str, logs) -> Iterator[Counted]:
    database, redis = urlsplit(database_url), urlsplit(servers.redis_url)
    with (
        counting_proxy(database.hostname, database.port or 5432) as postgresql,
        counting_proxy(redis.hostname, redis.port or 6379) as redis_counter,
    ):
        urls = {
            "DATABASE_URL": re.sub(r"@[^/]+/", f"@127.0.0.1:{postgresql.port}/", database_url),
            "REDIS_URL": f"redis://127.0.0.1:{redis_counter.port}/0",
        }
        with running_web(logs / "counted.log", WEB_WORKERS="1", WEB_THREADS="1", **urls) as api:
            yield Counted(api, postgresql, redis_counter)


@pytest.fixture
def counted(process: Counted, world: Database) -> Counted:
    """A process that has done everything a few times: connections open, statements prepared, scripts loaded."""
    user = new_user()
    for n in range(11, 17):  # psycopg prepares a statement that it has seen a few times
        reservation = process.api.reserve(user, HALL, seat(1, n)).json["reservation"]["id"]
        process.api.cancel(user, reservation)
        process.api.buy(user, STANDING, **{STANDING_A: 1})
        process.api.get(f"/seats/events/{HALL}")
        process.api.get(f"/events/{HALL}")
        process.api.get("/events")
        process.api.get(f"/tickets/availability/{STANDING_A}")
    return process


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
        assert counted.during(lambda path=path: counted.api.get(path)) == (0, 1)
    assert counted.during(lambda: counted.api.get(f"/tickets/availability/{STANDING_A}")) == (1, 0)
