"""What is read: caches that are never older than the last commit, the search, pages, refusals, conditional requests."""

import threading
import time
from functools import partial
from uuid import UUID

import pytest

from devtools.embedded import Servers
from tests.support.harness import (
    HALL,
    STADIUM,
    STANDING,
    STANDING_A,
    THEATRE,
    UPCOMING,
    Api,
    Database,
    at_once,
    new_user,
    seat,
    wait_until,
)

PUBLIC = ["/events", f"/events/{HALL}", f"/tickets/event/{HALL}", "/seats/layouts", f"/seats/events/{HALL}"]


@pytest.fixture
def api(web: Api, world: Database) -> Api:
    return web


# --- Caches -----------------------------------------------------------------------------------------------------------


def test_answers_are_cached_under_the_keys_of_the_plan(api: Api, redis) -> None:
    api.get("/events")
    api.get("/events?status=on_sale&page=2&limit=3&q=iu")
    api.get(f"/events/{HALL}")
    api.get(f"/seats/events/{HALL}")
    for key in ("events:list::1:10:", "events:list:on_sale:2:3:iu", f"event:{HALL}", f"seats:{HALL}"):
        assert redis.type(key) == "string", key
        assert 0 < redis.ttl(key) <= 30


def test_a_change_of_an_event_is_seen_at_once(api: Api, world: Database) -> None:
    from events.selectors import forget_event_and_lists

    api.get("/events")
    api.get("/events?q=iu")
    api.get(f"/events/{HALL}")
    world.rows("UPDATE events SET title = 'IU, another title' WHERE id = %s", HALL)
    forget_event_and_lists(UUID(HALL))
    assert api.get(f"/events/{HALL}").json["event"]["title"] == "IU, another title"
    for path in ("/events", "/events?q=iu"):
        assert "IU, another title" in [event["title"] for event in api.get(path).json["events"]]


def test_fifty_who_miss_at_once_cost_one_computation(api: Api, world: Database) -> None:
    """A row lock holds the computation up while all fifty arrive; PostgreSQL then has run it once."""
    world.rows("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    somebody = Database(world.url)
    somebody.rows("BEGIN")
    somebody.rows("LOCK TABLE seats IN ACCESS EXCLUSIVE MODE")
    answers: list = []
    crowd = threading.Thread(
        target=lambda: answers.extend(at_once([partial(api.get, f"/seats/events/{STADIUM}")] * 50))
    )
    crowd.start()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%seats%%'"
    # Not for long: kernel.concurrency.bulkhead has little patience with a PostgreSQL that does not get on.
    wait_until(lambda: world.one(waiting) > 0, seconds=5, every=0.01)
    time.sleep(0.2)
    computing = world.one(waiting)
    somebody.close()
    crowd.join()
    assert computing == 1
    assert {answer.status for answer in answers} == {200}
    assert len({answer.headers["etag"] for answer in answers}) == 1


def test_a_reader_from_before_a_commit_stores_nothing_stale(world: Database, redis) -> None:
    """Deterministic: the reader has read, the writer commits and forgets, then the reader stores."""
    from kernel.redis import caching

    def compute() -> bytes:
        caching.forget("cache:key")  # what a writer does after its commit, while we still compute from before it
        return b"old"

    assert caching.read_through("cache:key", compute, seconds=5) == b"old"
    assert caching.read_through("cache:key", lambda: b"new", seconds=5) == b"new"
    assert caching.read_through("cache:key", lambda: b"newer", seconds=5) == b"new"


def test_a_reader_of_one_of_many_lists_from_before_a_commit_stores_nothing_stale(world: Database, redis) -> None:
    from kernel.redis import caching

    def compute() -> bytes:
        caching.forget_all("cache:every-list")
        return b"old"

    assert caching.read_through("cache:list", compute, seconds=5, index="cache:every-list") == b"old"
    assert caching.read_through("cache:list", lambda: b"new", seconds=5, index="cache:every-list") == b"new"
    caching.forget_all("cache:every-list")
    assert not redis.exists("cache:list", "cache:every-list")


def test_control_without_the_lease_a_stale_answer_would_stay(world: Database, redis) -> None:
    redis.delete("cache:key")
    old = b"old"  # read before the commit
    redis.delete("cache:key")  # the writer forgets
    redis.set("cache:key", old)  # the reader stores
    assert redis.get("cache:key") == "old"


def test_readers_and_a_buyer_at_once_never_see_the_past(api: Api, world: Database) -> None:
    """While others read without pause, the buyer's own next look always shows what the buyer did."""
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            api.get(f"/seats/events/{HALL}")
            api.get(f"/events/{STANDING}")

    readers = [threading.Thread(target=read) for _ in range(6)]
    for reader in readers:
        reader.start()
    try:
        for n in range(40):
            user = new_user()
            wanted = seat(1, 1 + n % 16)
            reservation = api.reserve(user, HALL, wanted).json["reservation"]["id"]
            assert api.seat_status(HALL, wanted) == "locked"
            api.cancel(user, reservation)
            assert api.seat_status(HALL, wanted) == "available"
    finally:
        stop.set()
        for reader in readers:
            reader.join()


def test_a_computation_that_fails_is_not_cached(world: Database, redis) -> None:
    from kernel.redis import caching

    def fail() -> bytes:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - whatever it is, it passes through
        caching.read_through("cache:key", fail, seconds=5)
    started = time.monotonic()
    assert caching.read_through("cache:key", lambda: b"answer", seconds=5) == b"answer"
    assert time.monotonic() - started < 0.5


def test_without_redis_everything_is_read_from_postgresql(api: Api, world: Database, redis_server: Servers) -> None:
    world.turn_waiting_rooms_off()
    with_redis = {path: api.get(path).json for path in PUBLIC}
    redis_server.stop_redis()
    for path in PUBLIC:
        answer = api.get(path)
        assert (answer.status, answer.json) == (200, with_redis[path])
    user = new_user()
    reservation = api.reserve(user, HALL, seat(1, 1)).json["reservation"]["id"]
    assert api.seat_status(HALL, seat(1, 1)) == "locked"
    assert api.confirm(reservation, 150_000).status == 200
    redis_server.start_redis()
    time.sleep(1.1)
    assert api.seat_status(HALL, seat(1, 1)) == "sold"


def test_what_changed_while_redis_was_away_is_not_forgotten(
    api: Api, world: Database, redis_server: Servers, redis
) -> None:
    """Redis comes back with everything that it had cached before it went."""
    world.turn_waiting_rooms_off()
    redis.config_set("save", "3600 1")
    before = api.get(f"/seats/events/{HALL}")
    api.get(f"/events/{STANDING}")
    redis_server.stop_redis()
    assert api.reserve(new_user(), HALL, seat(1, 1)).status == 201
    assert api.buy(new_user(), STANDING, **{STANDING_A: 1}).status == 201
    redis_server.start_redis()
    assert redis.exists(f"seats:{HALL}", f"event:{STANDING}") == 2
    time.sleep(1.1)  # the circuit breaker rests
    after = api.get(f"/seats/events/{HALL}")
    assert [s["status"] for s in after.json["seats"] if s["id"] == seat(1, 1)] == ["locked"]
    assert int(after.headers["seat-map-version"]) > int(before.headers["seat-map-version"])
    assert 99 in [t["available_quantity"] for t in api.get(f"/events/{STANDING}").json["ticketTypes"]]


def test_what_is_owed_and_fails_is_given_up(world: Database, redis_server: Servers) -> None:
    from kernel.redis.deferred import execute, execute_or_defer

    redis_server.stop_redis()
    execute_or_defer("good", lambda redis: redis.set("good", 1))
    execute_or_defer("bad", lambda redis: redis.execute_command("NOSUCHCOMMAND"))
    execute_or_defer("better", lambda redis: redis.set("better", 1))
    redis_server.start_redis()
    time.sleep(1.1)
    assert execute(lambda redis: redis.mget("good", "better")) == [b"1", b"1"]


def test_a_redis_that_hangs_holds_nobody_up_for_long(api: Api, world: Database, redis_server: Servers) -> None:
    import os
    import signal

    world.turn_waiting_rooms_off()
    pid = redis_server.redis.pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        answers = [api.reserve(new_user(), HALL, seat(1, n)) for n in range(1, 9)]
    finally:
        os.kill(pid, signal.SIGCONT)
    assert [answer.status for answer in answers] == [201] * 8
    assert sum(answer.seconds for answer in answers) < 8
    assert sorted(answer.seconds for answer in answers)[3] < 0.2  # most do not wait at all


# --- The seat map -----------------------------------------------------------------------------------------------------


def test_versions_begin_anew_once_when_redis_may_have_come_back_with_old_ones(world: Database, redis) -> None:
    from seats.selectors import seat_map_version_after_restart

    counted, cached = f"seats:{HALL}:version", (f"seats:{HALL}", f"seats:{HALL}:lease")
    an_hour_ago = int((time.time() - 3600) * 1000)
    redis.mset({counted: an_hour_ago, **dict.fromkeys(cached, "old")})
    version = seat_map_version_after_restart(UUID(HALL))
    assert version > an_hour_ago + 3_500_000
    assert not redis.exists(*cached)
    time.sleep(0.01)
    assert seat_map_version_after_restart(UUID(HALL)) == version  # another process, that has lost Redis as well
    assert redis.get(counted) == str(version)


def test_a_seat_map_has_a_version_that_grows_and_a_tag(api: Api, world: Database) -> None:
    first = api.get(f"/seats/events/{THEATRE}")
    assert len(first.json["seats"]) == 600
    assert api.get(f"/seats/events/{THEATRE}").headers["etag"] == first.headers["etag"]
    same = api.get(f"/seats/events/{THEATRE}", headers={"If-None-Match": first.headers["etag"]})
    assert (same.status, same.json) == (304, b"")
    api.reserve(new_user(), THEATRE, seat(7, 1))
    second = api.get(f"/seats/events/{THEATRE}", headers={"If-None-Match": first.headers["etag"]})
    assert second.status == 200
    assert int(second.headers["seat-map-version"]) > int(first.headers["seat-map-version"])


def test_versions_grow_even_when_redis_has_forgotten(api: Api, world: Database, redis) -> None:
    api.reserve(new_user(), HALL, seat(1, 1))
    before = int(api.get(f"/seats/events/{HALL}").headers["seat-map-version"])
    time.sleep(0.01)
    redis.flushall()
    api.reserve(new_user(), HALL, seat(1, 2))
    assert int(api.get(f"/seats/events/{HALL}").headers["seat-map-version"]) > before


def test_large_answers_are_compressed_for_those_who_ask(api: Api) -> None:
    import gzip
    import json

    packed = api.get(f"/seats/events/{THEATRE}", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(packed.json))["seats"]) == 600
    assert "content-encoding" not in api.get("/seats/layouts", headers={"Accept-Encoding": "gzip"}).headers


# --- The search -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("iu", {1, 2}),
        ("아이", {1, 2}),
        ("방탄소년단", {3}),
        ("PSY", {5}),
        ("고척", {1, 4, 13}),
        ("100%", {8}),
        ("_", {8}),
        ("\\", {9}),
    ],
)
def test_the_search_finds_both_spellings_and_takes_text_literally(api: Api, text: str, found: set[int]) -> None:
    from urllib.parse import quote

    events = api.get(f"/events?limit=100&q={quote(text)}").json["events"]
    assert {int(event["id"][-4:], 16) for event in events} == found


def test_pages_hold_each_event_once(api: Api, world: Database) -> None:
    world.rows("UPDATE events SET sale_start_date = '2020-01-01', sale_end_date = '2030-01-01'")
    pages = [api.get(f"/events?limit=4&page={page}").json["events"] for page in range(1, 5)]
    ids = [event["id"] for page in pages for event in page]
    assert len(ids) == len(set(ids)) == 15
    assert ids == sorted(ids)


# --- Refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("GET", "/api/api/events", 404),
        ("POST", "/events", 405),
        ("TRACE", "/metrics", 405),
        ("DELETE", f"/events/{HALL}", 405),
        ("POST", "/seats/layouts", 405),
        ("GET", "/events?page=0", 400),
        ("GET", "/events?limit=-1", 400),
        ("GET", "/events?q=%00", 400),
        ("GET", "/events?q=a&q=b", 400),
        ("GET", "/events?status=wrong", 400),
        ("GET", "/events/x", 400),
        ("GET", "/events/%00", 400),
        ("GET", "/events/ffffffff-ffff-4fff-8fff-ffffffffffff", 404),
    ],
)
def test_refusals_are_json_in_two_forms(api: Api, method: str, path: str, status: int) -> None:
    for prefix in ("", "/api"):
        plain = api.call(method, prefix + path)
        assert (plain.status, list(plain.json)) == (status, ["error"])
        problem = api.call(method, prefix + path, headers={"Accept": "application/problem+json"})
        assert problem.status == status
        assert problem.headers["content-type"] == "application/problem+json"
        assert set(problem.json) == {"type", "title", "status", "detail", "code"}
        assert problem.json["status"] == status


def test_the_trailing_slash_is_tolerated(api: Api) -> None:
    for path in PUBLIC:
        assert api.get(f"{path}/").json == api.get(f"/api{path}").json
    assert [api.get(path).status for path in ("/metrics", "/metrics/", "/api/metrics/")] == [200, 200, 200]


def test_the_admin_is_found_without_its_slash(api: Api) -> None:
    answer = api.get("/admin")
    assert (answer.status, answer.headers["location"]) == (302, "/admin/")


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b'{"eventId":' + b"[" * 5000, 400), (b"\xff", 400), (b"x" * 300_000, 413), (b'{"a":NaN}', 400)],
)
def test_bodies_that_are_no_json_are_refused(api: Api, world: Database, body: bytes, status: int) -> None:
    before = world.everything()
    answer = api.post("/seats/reserve", body, user=new_user())
    assert (answer.status, list(answer.json)) == (status, ["error"])
    assert world.everything() == before


def test_requests_have_ids(api: Api) -> None:
    assert api.get("/events", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert len(api.get("/events", headers={"X-Request-Id": "bad id"}).headers["x-request-id"]) == 32


def test_reads_are_open_to_any_origin(api: Api) -> None:
    assert api.get("/events", headers={"Origin": "https://shop.example"}).headers["access-control-allow-origin"] == "*"


def test_an_upcoming_event_shows_its_map(api: Api) -> None:
    assert len(api.get(f"/seats/events/{UPCOMING}").json["seats"]) == 20
