"""Answers that leave from memory: as new as if each were read, and the same as those that Django gives."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.embedded import Servers
from tests.support.harness import HALL, THEATRE, Api, Database, at_once, new_user, running_web, seat

PATHS = ("/events", f"/events/{HALL}", f"/seats/events/{THEATRE}")
VARY = ("x-request-id", "date", "content-length", "transfer-encoding")


@pytest.fixture(scope="module")
def two_workers(database_url: str, logs: Path) -> Iterator[Api]:
    with running_web(logs / "two.log", DATABASE_URL=database_url, WEB_WORKERS="2", WEB_THREADS="8") as api:
        yield api


def headers_of(answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in VARY}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("sent", [{}, {"Accept-Encoding": "gzip"}, {"Origin": "https://shop.example"}])
def test_an_answer_from_memory_is_the_one_that_django_gave(web: Api, world: Database, path: str, sent: dict) -> None:
    first = web.get(path, headers=sent)
    second = web.get(path, headers=sent)
    assert (second.status, second.json, headers_of(second)) == (200, first.json, headers_of(first))
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    tag = first.headers["etag"]
    for given in (tag, tag.removeprefix("W/"), f'"other", {tag}'):
        assert web.get(path, headers={**sent, "If-None-Match": given}).status == 304
    assert web.get(path, headers={**sent, "If-None-Match": '"other"'}).status == 200


def test_memory_answers_while_the_caches_are_not_read(web: Api, world: Database, redis) -> None:
    web.get("/events")
    web.get("/events")
    redis.config_resetstat()
    for _ in range(20):
        assert web.get("/events").status == 200
    used = redis.info("commandstats")
    assert "cmdstat_evalsha" not in used or used["cmdstat_evalsha"]["calls"] < 10


def test_clients_that_always_ask_conditionally_are_answered_from_memory(web: Api, world: Database, redis) -> None:
    tag = web.get(f"/events/{HALL}").headers["etag"]
    redis.delete(f"event:{HALL}")  # forgotten, as when its time is over
    redis.config_resetstat()
    for _ in range(20):
        assert web.get(f"/events/{HALL}", headers={"If-None-Match": tag}).status == 304
    assert redis.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"] < 10


def views_of(web: Api, event: str) -> float:
    lines = web.get("/metrics").json.decode().splitlines()
    return sum(float(x.split()[-1]) for x in lines if x.startswith("event_views_total") and event in x)


def test_every_look_at_an_event_counts(web: Api, world: Database) -> None:
    before = views_of(web, HALL)
    for _ in range(5):
        web.get(f"/events/{HALL}")
    assert views_of(web, HALL) == before + 5


def test_of_many_who_miss_at_once_one_asks_for_all(web: Api, world: Database, redis) -> None:
    """PostgreSQL holds the answer up while all of them arrive. Each has a request id of its own, and each is counted."""
    path = f"/events/{HALL}"
    web.get(path)
    before = views_of(web, HALL)
    redis.delete(f"event:{HALL}")
    somebody = Database(world.url)
    somebody.rows("BEGIN")
    somebody.rows("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
    redis.config_resetstat()
    answers: list = []
    crowd = threading.Thread(target=lambda: answers.extend(at_once([lambda: web.get(path)] * 30)))
    crowd.start()
    time.sleep(0.5)
    somebody.close()
    crowd.join()
    assert {answer.status for answer in answers} == {200}
    assert len({answer.headers["x-request-id"] for answer in answers}) == 30
    assert views_of(web, HALL) == before + 30
    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] < 10  # who waits for the lease asks every 10 ms
    assert web.get(path).headers["x-request-id"] not in {answer.headers["x-request-id"] for answer in answers}


def test_what_many_miss_at_once_and_is_gone_is_gone_for_each(web: Api, world: Database, redis) -> None:
    event = world.add_event()
    path = f"/events/{event}"
    assert [web.get(path).status for _ in range(2)] == [200, 200]
    world.rows("DELETE FROM seats WHERE event_id = %s", event)
    world.rows("DELETE FROM events WHERE id = %s", event)
    redis.delete(f"event:{event}")
    assert [answer.status for answer in at_once([lambda: web.get(path)] * 20)] == [404] * 20


@pytest.mark.long
def test_no_worker_answers_with_the_past(two_workers: Api, world: Database) -> None:
    """While others read at both workers without pause, each change is seen by whoever looks next, at either."""
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            two_workers.get(f"/seats/events/{HALL}", headers={"Accept-Encoding": "identity"})

    readers = [threading.Thread(target=read) for _ in range(6)]
    for reader in readers:
        reader.start()
    seen: list[str] = []

    def look() -> None:  # on a connection of its own, so that either worker may get it
        seen.append(two_workers.seat_status(HALL, wanted))

    try:
        user = new_user()
        for n in range(15):
            wanted = seat(1, 1 + n)
            reservation = two_workers.reserve(user, HALL, wanted).json["reservation"]["id"]
            for expected in ("locked", "available"):
                if expected == "available":
                    two_workers.cancel(user, reservation)
                lookers = [threading.Thread(target=look) for _ in range(4)]
                for looker in lookers:
                    looker.start()
                for looker in lookers:
                    looker.join()
                assert seen == [expected] * 4
                seen.clear()
    finally:
        stop.set()
        for reader in readers:
            reader.join()


def test_a_redis_that_was_emptied_or_restarted_takes_memory_with_it(
    web: Api, world: Database, redis_server: Servers, redis
) -> None:
    path = f"/events/{HALL}"
    for title, happens in (("emptied", redis.flushall), ("stopped", redis_server.stop_redis)):
        web.get(path)
        web.get(path)
        world.rows("UPDATE events SET title = %s WHERE id = %s", title, HALL)
        happens()
        assert web.get(path).json["event"]["title"] == title


def test_a_redis_that_hangs_does_not_hold_memory_up(web: Api, world: Database, redis_server: Servers) -> None:
    import os
    import signal

    web.get("/events")
    pid = redis_server.redis.pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        assert [web.get("/events").status for _ in range(6)] == [200] * 6
        assert time.monotonic() - started < 6
    finally:
        os.kill(pid, signal.SIGCONT)
