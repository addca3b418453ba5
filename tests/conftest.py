"""Real servers for the tests: PostgreSQL and Redis of their own, and the `web` process as production runs it.

With DATABASE_URL set, the test database is made on that server instead. Redis is always the tests' own: they stop it.

`make test` runs two workers (pytest-xdist), since most of what tests do is wait. They share PostgreSQL, which the process
that started them has started; each has a database and a Redis of its own.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from devtools.embedded import Servers
from tests.support import tools
from tests.support.admin_pages import AdminPages
from tests.support.background import BackgroundProcesses, running_background
from tests.support.harness import (
    ENTRY_TOKEN,
    HALL,
    INTERNAL_TOKEN,
    ROOT,
    TOKENS,
    Api,
    Database,
    new_user,
    running_web,
    wait_until,
)
from tests.support.round_trips import Counted, running_counted

worker = os.environ.get("PYTEST_XDIST_WORKER", "")
servers = Servers(ROOT / ".local" / f"test{worker and '-'}{worker}", durable=False)
servers.start_redis()
if worker:
    named = os.environ.get("TEST_DATABASE_NAME") or f"test_{urlsplit(os.environ['DATABASE_URL']).path.lstrip('/')}"
    os.environ["TEST_DATABASE_NAME"] = f"{named}_{worker}"
if not os.environ.get("DATABASE_URL"):
    servers.start_postgres()
    os.environ["DATABASE_URL"] = servers.database_url
os.environ.update(
    REDIS_URL=servers.redis_url,
    DJANGO_SETTINGS_MODULE="ticketservice.settings",
    DEBUG="true",
    JWT_SECRET=TOKENS["jwt_secret"],
    INTERNAL_API_TOKEN=INTERNAL_TOKEN,
    QUEUE_REBUILD_SECONDS="5",
)
for name in (
    "AUTH_SERVICE_URL", "JWT_PUBLIC_KEY", "MAX_SEATS_PER_RESERVATION", "RESERVATION_SECONDS", "MAX_TICKETS_PER_BUYER",
    "RELOCK_SECONDS", "UNPAID_HOLD_SECONDS", "UNPAID_HOLD_WINDOW_SECONDS", "EMAIL_URL", "EMAIL_BACKEND",
):  # fmt: skip
    os.environ.pop(name, None)

import django  # noqa: E402 - reads the environment
from django.conf import settings  # noqa: E402

django.setup()
settings.DATABASE_PLACES = 0  # this process is no server: any number of its threads may wait for PostgreSQL


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """A worker must not read the settings before its own conftest has said which servers they name."""
    del os.environ["DJANGO_SETTINGS_MODULE"]


@pytest.hookimpl(trylast=True)  # after pytest-randomly
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules with slow tests first: a worker that begins one at the end would keep the others waiting."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(tryfirst=True)  # before the fixtures
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("tool"):
        tools.require(*mark.args)


def pytest_unconfigure() -> None:
    servers.stop()


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker) -> Iterator[None]:
    """Makes the test database, always: pytest-django does so only when a test with its mark is among those that run.

    Without it a single test would load its world into the database that DATABASE_URL names.
    """
    from django.test.utils import setup_databases, teardown_databases

    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, aliases={"default"}, serialized_aliases=set())
    yield
    with django_db_blocker.unblock():
        teardown_databases(made, verbosity=0)


@pytest.fixture(scope="session")
def database_url(django_db_setup: None) -> str:
    """The test database, as other processes reach it."""
    from django.db import connection

    name = connection.settings_dict["NAME"]
    assert os.environ["DATABASE_URL"].rpartition("/")[2].partition("?")[0] != name, "not the tests' own database"
    return f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{name}"


@pytest.fixture(scope="session")
def database(database_url: str) -> Iterator[Database]:
    found = Database(database_url)
    yield found
    found.close()


@pytest.fixture
def redis_server(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """Redis, to be stopped; it runs again afterwards."""
    web: Api | None = request.getfixturevalue("web") if "web" in request.fixturenames else None
    yield servers
    servers.start_redis()
    time.sleep(1.1)  # until every process asks Redis again: kernel.redis.client rests its circuit breaker for a second
    from kernel.redis.deferred import execute

    execute(lambda redis: redis.ping())  # one asks first, and others are refused until it has its answer
    if web:
        wait_until(lambda: web.get(f"/queue/status/{HALL}", user=new_user()).status != 503, seconds=10)


@pytest.fixture
def redis():
    """A client of the tests' Redis."""
    import redis as redis_py

    client = redis_py.Redis.from_url(servers.redis_url, decode_responses=True)
    yield client
    client.close()


@pytest.fixture
def world(database: Database, django_db_blocker, redis) -> Iterator[Database]:
    """The catalogue of world.sql, an empty Redis, and the database open to the test's own process, too."""
    from queueing import store

    database.load_world()
    redis.flushall()
    store._last_seen_queues.clear()  # that this process saw in a world of before, and would wait for
    with django_db_blocker.unblock():
        yield database


@pytest.fixture(scope="module")
def catalogue(database: Database, django_db_blocker) -> Iterator[Database]:
    """The same, loaded once for a module, each of whose tests has an event of its own (`Database.add_event`)."""
    database.load_world()
    database.settle()
    with django_db_blocker.unblock():
        yield database


@pytest.fixture(scope="session")
def web(database_url: str, logs: Path) -> Iterator[Api]:
    """`web` with one worker that verifies tokens itself; up to four seats a buyer."""
    with running_web(
        logs / "web.log",
        DATABASE_URL=database_url,
        WEB_WORKERS="1",
        WEB_THREADS="32",
        MAX_SEATS_PER_RESERVATION="4",
        LOCK_TIMEOUT_MS="4500",
        SERVICE_TOKENS=f"door:entry:{ENTRY_TOKEN}",
    ) as api:
        yield api


@pytest.fixture(scope="session")
def counted_web(database_url: str, logs) -> Iterator[Counted]:
    with running_counted(logs / "counted.log", database_url) as counted:
        yield counted


@pytest.fixture
def background(world: Database, database_url: str, logs: Path) -> Iterator[BackgroundProcesses]:
    with running_background(database_url, logs) as processes:
        yield processes


@pytest.fixture
def admin_pages(world: Database) -> AdminPages:
    return AdminPages()
