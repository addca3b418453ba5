"""/health*: what works, told within a second also when a component hangs."""

import http.client
import os
import signal
import time
from pathlib import Path

import pytest

from devtools.embedded import Servers
from tests.support.harness import HALL, Api, Database, wait_until
from tests.support.live import running_realtime
from tests.support.round_trips import Counted
from tests.support.scraping import scrape

pytestmark = pytest.mark.slow


def states(api: Api) -> dict[str, int]:
    paths = ("/health", "/health/live", "/health/db", "/health/redis", "/health/all", "/health/ready")
    answers = {path: api.get(path) for path in paths}
    assert max(answer.seconds for answer in answers.values()) < 1
    return {path: answer.status for path, answer in answers.items()}


def test_all_is_well(web: Api, world: Database) -> None:
    assert set(states(web).values()) == {200}
    assert web.get("/api/health/all").json["components"]["redis"]["status"] == "ok"


def test_realtime_answers_the_same_and_what_else_it_is_asked(
    web: Api, world: Database, database_url: str, logs: Path
) -> None:
    with running_realtime(logs / "realtime-health.log", DATABASE_URL=database_url) as realtime:
        api = Api(realtime.port)
        wait_until(lambda: set(states(api).values()) == {200}, seconds=10)
        assert api.get("/api/health/").json == web.get("/health").json
        refused = api.post("/health")
        assert (refused.status, refused.json) == (405, web.post("/health").json)
        figures = scrape(api)
        assert [figures.total("metrics_source_up", source=name) for name in ("places", "funnels", "waiting_rooms")] == [
            1
        ] * 3
        assert api.get(f"/events/{HALL}").json == web.get(f"/events/{HALL}").json
        assert api.get("/nothing").json == web.get("/nothing").json
        assert api.get("/admin/login/").status == 200


def test_redis_gone(web: Api, world: Database, redis_server: Servers) -> None:
    redis_server.stop_redis()
    assert states(web) == {
        "/health": 200, "/health/live": 200, "/health/db": 200, "/health/redis": 503, "/health/all": 503,
        "/health/ready": 200,
    }  # fmt: skip


def test_redis_hangs(web: Api, world: Database, redis_server: Servers) -> None:
    pid = redis_server.redis.pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        assert states(web)["/health/redis"] == 503
    finally:
        os.kill(pid, signal.SIGCONT)
        time.sleep(1.1)


def test_a_body_that_nobody_asked_for_does_not_cost_the_connection(web: Api, world: Database) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)
    for _ in range(20):
        connection.request("POST", f"/queue/leave/{HALL}", b'{"something": 1}', {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 401
    connection.close()


@pytest.mark.long
def test_postgresql_hangs(counted_web: Counted, world: Database) -> None:
    with counted_web.postgresql.hanging():
        found = states(counted_web.api)
    assert (found["/health/db"], found["/health/ready"], found["/health/all"]) == (503, 503, 503)
    assert (found["/health"], found["/health/live"], found["/health/redis"]) == (200, 200, 200)
    wait_until(lambda: counted_web.api.get("/health/ready").status == 200, seconds=20)


@pytest.mark.long
def test_both_hang(counted_web: Counted, world: Database) -> None:
    with counted_web.postgresql.hanging(), counted_web.redis.hanging():
        for _ in range(3):  # the threads of the checks before still wait
            assert states(counted_web.api)["/health/all"] == 503
    wait_until(lambda: counted_web.api.get("/health/all").status == 200, seconds=20)
