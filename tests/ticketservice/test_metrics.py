"""/metrics against the truth in the database, with several processes that count, die, and lose Redis and PostgreSQL."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from devtools.embedded import Servers
from kernel.tasks.enqueue import enqueue
from tests.support.harness import (
    HALL,
    ROOT,
    STADIUM,
    STANDING,
    STANDING_A,
    STANDING_B,
    THEATRE,
    Api,
    Database,
    free_port,
    is_up,
    new_user,
    running_process,
    running_web,
    seat,
    wait_until,
)
from tests.support.round_trips import Counted
from tests.support.scraping import Scrape, scrape

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("of-the-pair") / "metrics"


@pytest.fixture(scope="module")
def running_pair(database_url: str, directory: Path, logs: Path) -> Iterator[Api]:
    environment = {"DATABASE_URL": database_url, "PROMETHEUS_MULTIPROC_DIR": str(directory)}
    with running_web(logs / "pair.log", WEB_WORKERS="2", WEB_THREADS="8", **environment) as api:
        yield api


@pytest.fixture
def pair(running_pair: Api, world: Database, directory: Path) -> Api:
    """`web` with two workers, at work."""
    wait_until(lambda: both_at_work(running_pair, directory), seconds=30)
    return running_pair


def both_at_work(api: Api, directory: Path) -> bool:
    """Asks on connections of its own: which worker answers is decided when one is made."""
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: is_up(Api(api.port)), range(4)))
    return len(counting(directory)) == 2


def counting(directory: Path) -> set[int]:
    """The processes that count into a directory and live."""
    pids = {int(file.stem.rpartition("_")[2]) for file in directory.glob("*.db")}
    return {
        pid for pid in pids if pid and psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    }


def sell(api: Api, *, buyers: int) -> None:
    """A crowd that takes places at random, pays some, gives some back, and is refused."""

    def buy(n: int) -> None:
        chance, user = random.Random(n), new_user()
        if chance.random() < 0.3:
            sale = api.buy(user, STANDING, **{chance.choice([STANDING_A, STANDING_B]): chance.randint(1, 3)})
        else:
            event, number, places = chance.choice([(HALL, 1, 20), (THEATRE, 7, 60), (STADIUM, 15, 60)])
            sale = api.reserve(user, event, seat(number, chance.randint(1, places)))
        if sale.status != 201:
            return
        found = sale.json["reservation"]
        after = chance.random()
        if after < 0.4:
            api.confirm(found["id"], found["totalAmount"])
        elif after < 0.7:
            api.cancel(user, found["id"])

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(buy, range(buyers)))


def sold(database: Database, since: datetime) -> Counter[tuple[str, str]]:
    """By how much the counters of sales must have grown, by name and event."""
    of_items = """SELECT r.event_id::text, {} AS n FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id
        WHERE r.created_at > %s AND {} GROUP BY 1"""
    statements = {
        "seats_reserved_total": of_items.format("count(*)", "i.seat_id IS NOT NULL"),
        "tickets_reserved_total": of_items.format("sum(i.quantity)", "i.ticket_type_id IS NOT NULL"),
        "reservations_confirmed_total": """SELECT event_id::text, count(*) AS n FROM reservations
            WHERE created_at > %s AND status = 'confirmed' GROUP BY 1""",
    }
    return Counter(
        {
            (name, row["event_id"]): int(row["n"])
            for name, statement in statements.items()
            for row in database.rows(statement, since)
        }
    )


def counted(found: Scrape) -> Counter[tuple[str, str]]:
    names = ("seats_reserved_total", "tickets_reserved_total", "reservations_confirmed_total")
    return Counter(
        {(name, its["event_id"]): int(found.total(name, **its)) for name in names for its in found.labels(name)}
    )


def test_counters_of_two_workers_equal_the_database(pair: Api, world: Database) -> None:
    since, before = world.one("SELECT now()"), scrape(pair)
    sell(pair, buyers=250)
    found = scrape(pair)

    def grew(name: str, **labels: str) -> float:
        return found.total(name, **labels) - before.total(name, **labels)

    assert counted(found) - counted(before) == sold(world, since)
    assert grew("seats_reserved_total") > 50
    cancelled = world.one("SELECT count(*) FROM reservations WHERE status = 'cancelled' AND created_at > %s", since)
    assert grew("reservations_ended_total", reason="cancelled") == cancelled > 10
    answers = "django_http_responses_total_by_status_view_method_total"
    seat_sales = "SELECT count(DISTINCT r.id) FROM reservations r JOIN reservation_items i ON i.reservation_id = r.id"
    assert grew(answers, view="seat-reserve", status="201") == world.one(
        f"{seat_sales} WHERE i.seat_id IS NOT NULL AND r.created_at > %s", since
    )
    assert grew("ticketservice_errors_total") == sum(grew(answers, status=status) for status in ("400", "409")) > 10
    assert grew("ticketservice_errors_total", code="SEAT_TAKEN") > 5


def test_answers_from_memory_are_counted_like_all_others(pair: Api, world: Database) -> None:
    before = scrape(pair)
    for _ in range(40):
        assert pair.get(f"/events/{HALL}").status == 200
    found, answers = scrape(pair), "django_http_responses_total_by_status_view_method_total"
    assert found.total(answers, view="event-detail") - before.total(answers, view="event-detail") == 40


@pytest.mark.long
def test_counts_outlive_workers_and_other_processes_add_to_them(
    pair: Api, world: Database, database_url: str, directory: Path, logs: Path
) -> None:
    since, start = world.one("SELECT now()"), scrape(pair)
    sell(pair, buyers=100)
    before = counted(scrape(pair))
    victim = counting(directory).pop()
    os.kill(victim, signal.SIGKILL)
    pair = Api(pair.port)  # connections to the victim are gone
    wait_until(lambda: victim not in counting(directory), seconds=10)
    wait_until(lambda: both_at_work(pair, directory), seconds=30)

    assert counted(scrape(pair)) == before
    assert list(directory.glob(f"*_{victim}.db")) == []  # kept in one file, however many die
    sell(pair, buyers=50)
    assert counted(scrape(pair)) - counted(start) == sold(world, since)

    reservation = pair.reserve(new_user(), STADIUM, seat(15, 100)).json["reservation"]["id"]
    world.expire(reservation)
    environment = {"DATABASE_URL": database_url, "PROMETHEUS_MULTIPROC_DIR": str(directory), "WORKER_CONCURRENCY": "1"}
    port = free_port()
    with running_process("worker", logs / "metrics-worker.log", METRICS_PORT=str(port), **environment):
        enqueue("reservations.tasks.sweep")
        swept = {"task": "reservations.tasks.sweep", "outcome": "done"}
        wait_until(
            lambda: (
                scrape(pair).total("ticketservice_tasks_total", **swept)
                > start.total("ticketservice_tasks_total", **swept)
            ),
            seconds=30,
        )
        of_web, of_worker = scrape(pair), scrape(Api(port))
    expired = {"reason": "expired"}
    assert of_web.total("reservations_ended_total", **expired) - start.total("reservations_ended_total", **expired) == 1
    assert counted(of_worker) == counted(of_web)  # they share the directory
    assert "seats_available" not in of_worker.names()


COUNTS = """
import sys, pathlib, signal
from kernel.observability.multiprocess import read, share_metrics
share_metrics(pathlib.Path(sys.argv[1]))
from prometheus_client import Counter, Gauge
Counter("sales_total", "").inc(int(sys.argv[2]))
Gauge("sockets", "", multiprocess_mode="livesum").inc(int(sys.argv[2]))
Gauge("differences", "", multiprocess_mode="mostrecent").set(int(sys.argv[2]))
found = {sample.name: sample.value for metric in read(pathlib.Path(sys.argv[1])) for sample in metric.samples}
print(*(int(found[name]) for name in ("sales_total", "sockets", "differences")), flush=True)
if len(sys.argv) > 3: signal.pause()
"""


def count_and_end(directory: Path, number: int) -> str:
    """What all processes have counted, in the eyes of one that adds a number: sales, open sockets, the latest number."""
    command = [sys.executable, "-c", COUNTS, str(directory), str(number)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def test_the_dead_count_on_until_nobody_lives(tmp_path: Path) -> None:
    directory = tmp_path / "metrics"
    assert count_and_end(directory, 1) == "1 1 1"
    assert count_and_end(directory, 2) == "2 2 2"
    command = [sys.executable, "-c", COUNTS, str(directory), "10", "and stay"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as lives:
        assert lives.stdout
        lives.stdout.readline()
        (directory / "counter_999999.db").write_bytes(b"\xff" * 40)  # killed while it wrote
        found = [count_and_end(directory, number) for number in (3, 4, 5)]
        kept = len(list(directory.glob("counter_*.db")))
        lives.kill()
    assert found == ["13 13 3", "17 14 4", "22 15 5"]
    assert kept == 3  # who lives, who came last, and all before
    assert count_and_end(directory, 6) == "6 6 6"


def test_a_directory_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    tmp_path.joinpath("file").touch()
    refused = subprocess.run(
        [sys.executable, "-c", COUNTS, str(tmp_path / "file" / "metrics"), "1"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode != 0
    assert "Set PROMETHEUS_MULTIPROC_DIR to a directory" in refused.stderr.splitlines()[-1]


def test_two_services_on_one_machine_do_not_add_up(web: Api, counted_web: Counted, world: Database) -> None:
    """Nothing is set for these two: their databases have different addresses."""
    before = scrape(counted_web.api).total("event_views_total", event_id=HALL)
    web.get(f"/events/{HALL}")
    assert scrape(web).total("event_views_total", event_id=HALL) >= 1
    assert scrape(counted_web.api).total("event_views_total", event_id=HALL) == before


# --- What is read when it is scraped ----------------------------------------------------------------------------------


def test_what_is_left_is_read_from_the_database(pair: Api, world: Database) -> None:
    from seats.metrics import AvailabilityCollector

    sell(pair, buyers=100)

    seats = world.rows("SELECT event_id::text, status, count(*) AS n FROM seats GROUP BY 1, 2")
    on_sale = {HALL, THEATRE, STADIUM}
    expected = {(row["status"], row["event_id"]): row["n"] for row in seats if row["event_id"] in on_sale}

    def shown(found: Scrape) -> dict[tuple[str, str], float]:
        labels = (
            (status, its) for status in ("available", "locked", "sold") for its in found.labels(f"seats_{status}")
        )
        counts = {(status, its["event_id"]): found.total(f"seats_{status}", **its) for status, its in labels}
        return {key: n for key, n in counts.items() if key[1] in on_sale and n}

    def left(found: Scrape) -> dict[str, float]:
        return {
            its["ticket_type_id"]: found.total("tickets_available", **its) for its in found.labels("tickets_available")
        }

    stock = {
        ticket_type: world.one("SELECT available_quantity FROM ticket_types WHERE id = %s", ticket_type)
        for ticket_type in (STANDING_A, STANDING_B)
    }
    scrapes: list[Scrape] = []

    def is_true() -> bool:
        scrapes.append(scrape(pair))
        return shown(scrapes[-1]) == expected and stock.items() <= left(scrapes[-1]).items()

    wait_until(is_true, seconds=AvailabilityCollector.SECONDS + 10)  # each process caches for so long what it has read
    found = scrapes[-1]
    statuses = {row["id"]: row["status"] for row in world.rows("SELECT id::text, status FROM events")}
    assert {statuses[its["event_id"]] for its in found.labels("tickets_available")} <= {"on_sale", "sold_out"}


def test_each_figure_is_there_once(pair: Api, world: Database) -> None:
    """However many processes there are: Scrape refuses a sample that comes twice."""
    pair.post(f"/queue/check/{HALL}", user=new_user())
    pair.get(f"/events/{HALL}")
    time.sleep(1.1)  # views are told once a second
    pair.get(f"/events/{HALL}")
    pair.reserve(new_user(), HALL, seat(1, 1))

    found = scrape(pair)
    for name in ("queue_active_users", "conversion_funnel_rate", "seats_available"):
        assert [its for its in found.labels(name) if its["event_id"] == HALL], name
    assert not any("pid" in its for name in found.names() for its in found.labels(name))
    sources = {its["source"]: found.total("metrics_source_up", **its) for its in found.labels("metrics_source_up")}
    assert sources == {"processes": 1, "places": 1, "waiting_rooms": 1, "funnels": 1, "webhooks": 1}


def not_up(found: Scrape) -> set[str]:
    sources = found.labels("metrics_source_up")
    return {its["source"] for its in sources if not found.total("metrics_source_up", **its)}


@pytest.mark.long
def test_a_scrape_answers_while_redis_or_postgresql_hangs(counted_web: Counted, world: Database) -> None:
    api = counted_web.api
    api.get(f"/events/{HALL}")
    wait_until(lambda: not not_up(scrape(api)), seconds=20)
    for server, lost in (
        (counted_web.redis, {"waiting_rooms", "funnels"}),
        (counted_web.postgresql, {"places", "webhooks"}),
    ):
        if server is counted_web.postgresql:
            time.sleep(5.1)  # what is left is remembered for so long
        with server.hanging():
            for _ in range(10):  # more than there are threads for it
                started = time.monotonic()
                found = scrape(api)
                assert time.monotonic() - started < 4
                assert not_up(found) == lost
                assert found.total("event_views_total", event_id=HALL) > 0
        wait_until(lambda: not not_up(scrape(api)), seconds=20)


def test_a_scrape_answers_while_redis_is_gone(pair: Api, world: Database, redis_server: Servers) -> None:
    redis_server.stop_redis()
    found = scrape(pair)
    assert not_up(found) == {"waiting_rooms", "funnels"}
    assert found.total("seats_available", event_id=HALL) > 0


@pytest.mark.long
def test_nothing_that_a_client_invents_becomes_a_series(pair: Api, world: Database) -> None:
    pair.get(f"/events/{HALL}")
    scrape(pair)
    before = {(name, *sorted(its.items())) for name in scrape(pair).names() for its in scrape(pair).labels(name)}
    for n in range(20):
        pair.get(f"/events/{new_user()}")
        pair.get(f"/nothing-{n}")
        pair.call(f"MADE{n}", "/events")
        pair.post(f"/queue/check/{new_user()}", user=new_user())
    found = scrape(pair)
    new = {(name, *sorted(its.items())) for name in found.names() for its in found.labels(name)} - before
    assert len(new) < 120, new
    said = str(new)
    assert "nothing-" not in said
    assert "MADE" not in said
