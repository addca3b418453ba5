"""PostgreSQL that is away, paused, read-only, unmigrated, or configured otherwise."""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis as redis_py

from devtools.embedded import Servers
from kernel.realtime.close_codes import TRY_AGAIN_LATER
from tests.support.harness import (
    HALL,
    ROOT,
    STANDING,
    STANDING_A,
    THEATRE,
    Answer,
    Api,
    Database,
    free_port,
    manage,
    new_user,
    running_web,
    seat,
    wait_until,
)
from tests.support.live import running_realtime
from tests.support.outages import paused, stopped
from tests.support.waiting_room import check, set_policy

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own_servers() -> Iterator[Servers]:
    """A PostgreSQL to be paused and stopped, which the other tests do not use."""
    servers = Servers(ROOT / ".local" / f"outage-{os.getpid()}", durable=False)
    servers.start()
    try:
        assert manage("migrate", DATABASE_URL=servers.database_url).returncode == 0
        yield servers
    finally:
        servers.stop()
        shutil.rmtree(servers.directory)


@pytest.fixture(scope="module")
def few_threads(own_servers: Servers, logs: Path) -> Iterator[Api]:
    environment = {"DATABASE_URL": own_servers.database_url, "REDIS_URL": own_servers.redis_url}
    with running_web(logs / "outages.log", WEB_WORKERS="1", WEB_THREADS="8", **environment) as web:
        yield web


@pytest.fixture
def own_world(own_servers: Servers) -> Iterator[Database]:
    """The catalogue of world.sql and an empty Redis, on servers whose sessions may be ended."""
    database = Database(own_servers.database_url)
    database.load_world()
    redis = redis_py.Redis.from_url(own_servers.redis_url)
    redis.flushall()
    redis.close()
    yield database
    database.close()


@contextmanager
def altered(world: Database, setting: str) -> Iterator[None]:
    """`setting` for each new session in this database; the sessions that are open are ended."""
    name = urlsplit(world.url).path.lstrip("/")
    world.rows(f'ALTER DATABASE "{name}" SET {setting}')
    end_sessions(world)
    try:
        yield
    finally:
        world.rows("SET default_transaction_read_only = off")
        world.rows(f'ALTER DATABASE "{name}" RESET {setting.partition("=")[0]}')
        end_sessions(world)


def end_sessions(world: Database) -> None:
    world.rows(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'ticketservice'"
    )


def settle(web: Api) -> None:
    wait_until(lambda: web.get("/health/ready").status == 200, seconds=10)
    wait_until(lambda: web.get(f"/events/{HALL}").status == 200, seconds=10)


DIALECTS = [
    "datestyle = 'SQL, DMY'", "datestyle = 'German'", "intervalstyle = 'sql_standard'", "bytea_output = 'escape'",
    "timezone = 'Asia/Kolkata'", "client_encoding = 'LATIN1'", "search_path = 'nowhere'",
    "default_transaction_isolation = 'serializable'", "standard_conforming_strings = off",
]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("dialect", DIALECTS)
def test_sessions_speak_one_dialect(few_threads: Api, own_world: Database, dialect: str) -> None:
    web, world = few_threads, own_world
    settle(web)
    before = web.get(f"/events/{HALL}").json["event"]
    with altered(world, dialect):
        wait_until(lambda: web.get("/health/db").status == 200, seconds=10)
        user = new_user()
        bought = web.reserve(user, HALL, seat(1, 3))
        assert bought.status == 201, bought
        assert web.get(f"/events/{HALL}").json["event"] == before
        mine = web.get("/reservations/my", user=user)
        assert mine.status == 200
        assert mine.json["reservations"][0]["id"] == bought.json["reservation"]["id"]
        assert web.confirm(bought.json["reservation"]["id"], bought.json["reservation"]["totalAmount"]).status == 200
    settle(web)


@pytest.mark.long
def test_a_server_that_only_reads_sells_nothing_and_is_not_ready(few_threads: Api, own_world: Database) -> None:
    web, world = few_threads, own_world
    settle(web)
    rows = world.everything()
    with altered(world, "default_transaction_read_only = on"):
        wait_until(lambda: web.get("/health/db").status == 503, seconds=10)
        ready = web.get("/health/ready")
        assert (ready.status, ready.json["components"]["database"]["status"]) == (503, "down")
        for answer in (web.reserve(new_user(), HALL, seat(1, 4)), web.buy(new_user(), STANDING, **{STANDING_A: 1})):
            assert (answer.status, answer.headers.get("retry-after")) == (503, "1"), answer
        assert web.get("/health/live").status == 200
        assert web.get(f"/seats/events/{HALL}").status == 200
        assert world.everything() == rows
    settle(web)
    assert web.reserve(new_user(), HALL, seat(1, 4)).status == 201


@pytest.mark.long
def test_a_database_that_was_never_migrated_is_not_ready(world: Database, logs: Path) -> None:
    name = f"empty_{os.getpid()}"
    world.rows(f"CREATE DATABASE {name}")
    url = f"{world.url.rpartition('/')[0]}/{name}"
    try:
        with running_web(logs / "empty.log", DATABASE_URL=url, WEB_WORKERS="1") as web:
            ready = web.get("/health/ready")
            assert (ready.status, ready.json["components"]["database"]["reason"]) == (503, "NotMigrated")
            assert web.get("/health/live").status == 200
            assert manage("migrate", DATABASE_URL=url).returncode == 0
            wait_until(lambda: web.get("/health/ready").status == 200, seconds=10)
    finally:
        world.rows(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.long
@pytest.mark.parametrize("outage", [paused, stopped])
def test_what_needs_only_redis_does_not_wait_for_postgresql(
    few_threads: Api,
    own_servers: Servers,
    own_world: Database,
    outage: Callable[[Servers], AbstractContextManager[None]],
) -> None:
    web = few_threads
    settle(web)
    set_policy(web, threshold=1)
    holder, waiter = new_user(), new_user()
    pass_ = {"Queue-Pass": check(web, holder)["pass"]}
    assert check(web, waiter)["position"] == 1
    is_over = threading.Event()
    answers: dict[str, list[Answer]] = {"needs": [], "free": []}

    def keep_calling(kind: str, call: Callable[[], Answer]) -> None:
        while not is_over.is_set():
            answers[kind].append(call())
            time.sleep(0.02)

    def reserve() -> Answer:
        return web.reserve(holder, HALL, seat(1, 5), headers=pass_)

    calls = [("needs", reserve)] * 8 + [("needs", lambda: web.get(f"/seats/events/{THEATRE}"))] * 8
    calls += [("needs", lambda: web.get("/reservations/my", user=holder))] * 4
    calls += [("free", lambda: web.get(f"/queue/status/{HALL}", user=waiter))] * 2
    threads = [threading.Thread(target=keep_calling, args=call) for call in calls]
    with outage(own_servers):
        for thread in threads:
            thread.start()
        time.sleep(8)
        live, ready = web.get("/health/live"), web.get("/health/ready")
        assert (live.status, ready.status) == (200, 503)
        assert max(live.seconds, ready.seconds) < 1
        is_over.set()
        for thread in threads:
            thread.join(30)
    back = time.monotonic()
    wait_until(lambda: web.get("/reservations/my", user=holder).status == 200, seconds=10)
    assert time.monotonic() - back < 3
    assert {answer.status for answer in answers["free"]} == {200}
    assert max(answer.seconds for answer in answers["free"]) < 1
    # 400: Redis knows who is choosing the seat; 429: one buyer asks on and on
    assert {answer.status for answer in answers["needs"]} <= {200, 201, 400, 429, 503}
    assert all(answer.headers["retry-after"] for answer in answers["needs"] if answer.status == 503)
    assert max(answer.seconds for answer in answers["needs"]) < 2
    assert len(answers["free"]) > 20


@pytest.mark.long
def test_followers_outlive_an_outage_without_a_traceback(own_servers: Servers, logs: Path) -> None:
    database = Database(own_servers.database_url)
    database.load_world()
    database.close()
    redis = redis_py.Redis.from_url(own_servers.redis_url)
    log = logs / "followers.log"
    environment = {"DATABASE_URL": own_servers.database_url, "REDIS_URL": own_servers.redis_url}
    with running_realtime(log, **environment) as realtime:
        follower = realtime.seats(HALL)
        version = follower.first("hello")["version"]
        with stopped(own_servers):
            redis.flushall()  # so that PostgreSQL is asked whether the event exists
            redis.client_kill_filter(_type="pubsub")
            time.sleep(2)
            assert realtime.seats(THEATRE).closed_with(10) == TRY_AGAIN_LATER
        again = follower.wait(lambda heard: len(heard.of_type("hello")) > 1 and heard.of_type("hello")[-1], 10)
        assert again["version"] > version
        assert follower.code is None
    redis.close()
    said = log.read_text()
    assert "Traceback" not in said, said[said.index("Traceback") - 300 :][:3000]


@pytest.mark.long
@pytest.mark.tool("pgbouncer")
def test_it_runs_behind_pgbouncer_in_session_mode(world: Database, logs: Path) -> None:
    where = urlsplit(world.url)
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)  # for PgBouncer, which does not run as root
        users, settings = Path(directory, "users"), Path(directory, "pgbouncer.ini")
        users.write_text(f'"{where.username}" ""\n')
        settings.write_text(
            f"[databases]\n* = host={where.hostname} port={where.port}\n[pgbouncer]\npool_mode = session\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {users}\n"
        )
        with (logs / "pgbouncer.log").open("wb") as log:
            pooler = subprocess.Popen(
                ["pgbouncer", str(settings)], stdout=log, stderr=log, user="nobody" if os.geteuid() == 0 else None
            )
        try:
            url = f"postgresql://{where.username}@127.0.0.1:{port}{where.path}"
            wait_until(lambda: becomes_reachable(port), seconds=10)
            with running_web(logs / "behind-pgbouncer.log", DATABASE_URL=url, WEB_WORKERS="1") as web:
                user = new_user()
                for place in range(6, 10):
                    bought = web.reserve(user if place == 6 else new_user(), HALL, seat(1, place))
                    assert bought.status == 201, bought
                mine = web.get("/reservations/my", user=user)
                assert (mine.status, len(mine.json["reservations"])) == (200, 1)
                assert web.get("/health/ready").status == 200
        finally:
            pooler.terminate()
            pooler.wait(10)


def becomes_reachable(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
