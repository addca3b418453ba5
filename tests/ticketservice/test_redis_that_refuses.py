"""Redis that replies, but refuses: reads go on, buying goes on with a pass, the rest is told to come back, workers live."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis as redis_py

from devtools.embedded import Redis
from tests.support.background import WORKERS, kill
from tests.support.harness import (
    HALL,
    STANDING,
    Answer,
    Api,
    Database,
    new_user,
    running_process,
    running_web,
    seat,
    wait_until,
)
from tests.support.outages import refusing
from tests.support.tools import PROGRAMS
from tests.support.waiting_room import as_admin, check, set_policy, status

pytestmark = [pytest.mark.slow, pytest.mark.long]


class DebianRedis(Redis):
    program = PROGRAMS["redis"][0]  # type: ignore[assignment]


@dataclass
class Service:
    """`web`, `worker` and `beat` on a Redis of their own."""

    server: Redis
    redis: Any
    api: Api
    worker: subprocess.Popen[bytes]
    log: Path

    @property
    def workers(self) -> list[int]:
        return sorted(child.pid for child in psutil.Process(self.worker.pid).children())


@pytest.fixture(scope="module", params=["6", pytest.param("7", marks=pytest.mark.tool("redis"))])
def service(request: pytest.FixtureRequest, database_url: str, logs: Path, tmp_path_factory: Any) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp(f"redis{request.param}")
    server = (Redis if request.param == "6" else DebianRedis)(directory, durable=False)
    with ExitStack() as stack:
        server.start()
        stack.callback(server.stop)
        client = redis_py.Redis.from_url(server.url)
        stack.callback(client.close)
        environment = {"DATABASE_URL": database_url, "REDIS_URL": server.url, "METRICS_DIR": str(directory)}
        log = logs / f"refusing-{request.param}.log"
        api = stack.enter_context(
            running_web(log, WEB_WORKERS="1", WEB_THREADS="8", MAX_SEATS_PER_RESERVATION="4", **environment)
        )
        worker = stack.enter_context(running_process("worker", log, **environment))
        schedule = str(directory / "schedule")
        beat = stack.enter_context(running_process("beat", log, BEAT_SCHEDULE=schedule, **environment))
        for process in (worker, beat):
            stack.callback(kill, process)
        service = Service(server, client, api, worker, log)
        wait_until(lambda: len(service.workers) == WORKERS, seconds=30)
        yield service


def commands(*refuse: tuple[str, ...], agree: tuple[str, ...]) -> Callable[[Service], Any]:
    return lambda service: refusing(service.redis, *refuse, agree=agree)


@contextmanager
def that_cannot_save(service: Service) -> Iterator[None]:
    dump = service.server.directory / "dump.rdb"
    dump.mkdir()
    service.redis.config_set("save", "3600 1")
    service.redis.bgsave()
    wait_until(lambda: service.redis.info("persistence")["rdb_last_bgsave_status"] == "err", seconds=10)
    try:
        yield
    finally:
        dump.rmdir()
        service.redis.config_set("save", "")


@contextmanager
def that_is_busy(service: Service) -> Iterator[None]:
    service.redis.config_set("lua-time-limit", 20)

    def run() -> None:
        with suppress(redis_py.RedisError), redis_py.Redis.from_url(service.server.url, socket_timeout=60) as client:
            client.eval("while true do end", 0)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.2)
    try:
        yield
    finally:
        service.redis.script_kill()
        thread.join(10)


@contextmanager
def that_wants_a_password(service: Service) -> Iterator[None]:
    service.redis.config_set("requirepass", "secret")
    with redis_py.Redis.from_url(service.server.url, password="secret") as client:
        client.client_kill_filter(_type="normal", skipme=True)
        try:
            yield
        finally:
            client.config_set("requirepass", "")


REFUSALS = {
    "a replica": commands(("REPLICAOF", "127.0.0.1", "1"), agree=("REPLICAOF", "NO", "ONE")),
    "out of memory": commands(("CONFIG", "SET", "maxmemory", "100000"), agree=("CONFIG", "SET", "maxmemory", "0")),
    "without replicas": commands(
        ("CONFIG", "SET", "min-replicas-to-write", "1"), agree=("CONFIG", "SET", "min-replicas-to-write", "0")
    ),
    "a replica whose master is gone": commands(
        ("CONFIG", "SET", "replica-serve-stale-data", "no"),
        ("REPLICAOF", "127.0.0.1", "1"),
        agree=("REPLICAOF", "NO", "ONE"),
    ),
    "without rights": commands(
        ("ACL", "SETUSER", "default", "-@write", "-@scripting"), agree=("ACL", "SETUSER", "default", "+@all")
    ),
    "without rights in scripts": commands(
        ("ACL", "SETUSER", "default", "-@write"), agree=("ACL", "SETUSER", "default", "+@all")
    ),
    "cannot save": that_cannot_save,
    "busy": that_is_busy,
    "wants a password": that_wants_a_password,
}


def is_orderly(answer: Answer) -> bool:
    """Some commands that only read, or take nothing, are still executed."""
    return answer.status in (200, 403) or (answer.status == 503 and int(answer.headers["retry-after"]) >= 1)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_is_an_outage(service: Service, world: Database, refusal: str) -> None:
    service.redis.flushall()
    world.settle()
    api, workers = service.api, service.workers
    buyer, other, newcomer = new_user(), new_user(), new_user()
    set_policy(api, threshold=2)
    passes = {"Queue-Pass": check(api, buyer)["pass"]}
    check(api, other)
    assert check(api, newcomer)["position"] == 1
    start = len(service.log.read_bytes())
    with REFUSALS[refusal](service):
        for path in ("/events", f"/events/{HALL}", f"/seats/events/{HALL}", f"/events/{STANDING}") * 2:
            assert api.get(path).status == 200
        for method, path in (("POST", "check"), ("GET", "status"), ("POST", "heartbeat"), ("POST", "check")):
            assert is_orderly(answer := api.call(method, f"/queue/{path}/{HALL}", user=newcomer)), (path, answer)
        assert is_orderly(api.post(f"/queue/leave/{HALL}", user=new_user()))
        assert is_orderly(answer := api.reserve(new_user(), HALL, seat(1, 1))), answer
        assert is_orderly(answer := as_admin(api, "GET", f"/queue/admin/{HALL}")), answer

        bought = api.reserve(buyer, HALL, seat(1, 2), headers=passes)
        assert bought.status == 201, bought
        assert api.seat_status(HALL, seat(1, 2)) == "locked"
        assert api.confirm(bought.json["reservation"]["id"], bought.json["reservation"]["totalAmount"]).status == 200
        assert api.seat_status(HALL, seat(1, 2)) == "sold"

        ready, own = api.get("/health/ready"), api.get("/health/redis")
        assert (ready.status, own.status) == (200, 503)
        assert ready.json["components"]["redis"]["status"] == "down"
        assert api.get("/health/db").status == 200
        assert max(ready.seconds, own.seconds) < 1
        time.sleep(3)  # of the workers' ticks
        assert service.workers == workers
    wait_until(lambda: api.get("/health/redis").status == 200, seconds=5)
    wait_until(lambda: api.get(f"/queue/status/{HALL}", user=newcomer).status == 200, seconds=5)
    # The worker has gone on, and Redis has been told of the purchase: there is room for the next one.
    wait_until(lambda: status(api, newcomer)["state"] == "active", seconds=15)
    assert service.workers == workers
    said = service.log.read_bytes()[start:].decode()
    assert "Traceback" not in said, said[said.index("Traceback") - 300 :][:3000]
