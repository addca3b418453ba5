"""The services of docker-compose.yml as processes behind the proxy: the whole journey through one port, and deaths.

Needs nginx. The files themselves are judged in tests/ticketservice/test_deployment.py, always.
"""

import json
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.harness import (
    HALL,
    ROOT,
    STADIUM,
    STANDING,
    STANDING_A,
    Answer,
    Api,
    Database,
    assert_books_agree,
    free_port,
    is_up,
    new_user,
    running_process,
    seat,
    wait_until,
)
from tests.support.live import RecordingSocket
from tests.support.nginx import environment_of, running_proxy

pytestmark = [pytest.mark.slow, pytest.mark.tool("nginx")]

GIVE_UP_SECONDS = 40  # a key that a dead process was working on is free again after 10


@dataclass
class Compose:
    """The containers, as processes."""

    proxy: Api
    web: dict[int, subprocess.Popen[bytes]]
    realtime: dict[int, subprocess.Popen[bytes]]
    log: Path
    _opened: list[RecordingSocket] = field(default_factory=list)

    def socket(self, path: str) -> RecordingSocket:
        heard = RecordingSocket(f"ws://127.0.0.1:{self.proxy.port}{path}")
        self._opened.append(heard)
        return heard

    def lines(self) -> list[dict[str, Any]]:
        """The proxy's log."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


@contextmanager
def running_compose(database_url: str, folder: Path) -> Iterator[Compose]:
    shared = {
        "DATABASE_URL": database_url,
        "DEBUG": "false",
        "SECRET_KEY": uuid.uuid4().hex * 2,
        "WEB_WORKERS": "1",
        "BEAT_SCHEDULE": str(folder / "beat"),
    }
    static = folder / "parent" / "static"
    collected = subprocess.run(
        [sys.executable, "-c", COLLECT, str(static)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert collected.returncode == 0, collected.stderr
    with ExitStack() as stack:

        def start(service: str, number: int, **own: str) -> subprocess.Popen[bytes]:
            environment = {**shared, **environment_of(service), **own}
            return stack.enter_context(running_process(service, folder / f"{service}-{number}.log", **environment))

        ports = {service: [free_port(), free_port()] for service in ("web", "realtime")}
        listening = {
            service: {port: start(service, n, PORT=str(port)) for n, port in enumerate(its)}
            for service, its in ports.items()
        }
        start("worker", 0, METRICS_PORT=str(free_port()))
        start("beat", 0)
        for port in (*ports["web"], *ports["realtime"]):
            wait_until(lambda port=port: is_up(Api(port)), seconds=60)
        proxy = stack.enter_context(
            running_proxy(folder / "proxy", web=ports["web"], realtime=ports["realtime"], static=static.parent)
        )
        yield Compose(proxy, listening["web"], listening["realtime"], folder / "proxy" / "log")


@pytest.fixture(scope="module")
def compose(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    with running_compose(database_url, tmp_path_factory.mktemp("compose")) as running:
        yield running


@pytest.fixture
def mortal_compose(database_url: str, tmp_path: Path) -> Iterator[Compose]:
    """For a test that kills some of it."""
    with running_compose(database_url, tmp_path) as running:
        yield running
        for heard in running._opened:
            heard.close()


COLLECT = """
import sys, django
from django.conf import settings
django.setup()
settings.STATIC_ROOT = sys.argv[1]
from django.core.management import call_command
call_command("collectstatic", interactive=False, verbosity=0)
"""


@pytest.fixture
def through(compose: Compose, world: Database) -> Iterator[Api]:
    yield Api(compose.proxy.port)
    for heard in compose._opened:
        heard.close()
    compose._opened.clear()


# --- Everything through one port --------------------------------------------------------------------------------------


def test_the_whole_journey(through: Api, compose: Compose, world: Database) -> None:
    world.settle()
    buyer, chosen = new_user(), seat(1, 1)
    assert HALL in [event["id"] for event in through.get("/api/events?status=on_sale&limit=100").json["events"]]
    assert through.post(f"/queue/check/{HALL}", user=buyer).json["queued"] is False
    named = {"Idempotency-Key": "once", "X-Request-Id": "the-journey"}
    reserved = through.reserve(buyer, HALL, chosen, headers=named)
    assert (reserved.status, reserved.headers["x-request-id"]) == (201, "the-journey")
    assert through.seat_status(HALL, chosen) == "locked"
    found = reserved.json["reservation"]
    assert through.confirm(found["id"], found["totalAmount"]).status == 200
    assert through.seat_status(HALL, chosen) == "sold"
    tickets = through.buy(buyer, STANDING, **{STANDING_A: 2}).json["reservation"]
    assert through.cancel(buyer, tickets["id"]).status == 200
    assert len(through.get("/reservations/my", user=buyer).json["reservations"]) == 2

    wait_until(lambda: any(line["request_id"] == "the-journey" for line in compose.lines()), seconds=10)
    (line,) = [line for line in compose.lines() if line["request_id"] == "the-journey"]
    assert (line["method"], line["path"], line["status"]) == ("POST", "/seats/reserve", 201)
    assert_books_agree(HALL, STANDING)


def test_what_the_proxy_answers_itself(through: Api, compose: Compose) -> None:
    style = through.get("/static/admin/css/base.css", headers={"Accept-Encoding": "identity"})
    assert (style.status, style.headers["content-type"]) == (200, "text/css")
    assert style.headers["server"] == "nginx"
    assert "max-age=3600" in style.headers["cache-control"]
    assert through.get("/static/no-such-file.css").status == 404
    for path in ("/metrics", "/api/metrics"):
        refused = through.get(path)
        assert (refused.status, refused.json) == (404, {"error": "Not found"})
    assert through.get("/health/all").status == 200
    assert through.get("/admin/login/").status == 200
    assert through.post("/events", b"x" * 300_000).status == 413
    forged = through.get("/events", headers={"X-Request-Id": 'two words"'})
    assert len(forged.headers["x-request-id"]) == 32


def test_both_web_processes_are_asked(through: Api, compose: Compose) -> None:
    def asked() -> set[str]:
        return {line["upstream"] for line in compose.lines() if line["path"] == "/events" and line["status"] == 200}

    for _ in range(8):
        Api(through.port).get("/events")
    wait_until(lambda: len(asked()) == 2, seconds=5)


# --- Sockets ----------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_sockets_hear_of_a_sale(through: Api, compose: Compose, world: Database) -> None:
    watchers = [compose.socket(f"/ws/seats/{STADIUM}") for _ in range(6)]
    for watcher in watchers:
        watcher.first("hello")
    assert through.reserve(new_user(), STADIUM, seat(15, 700)).status == 201
    assert {watcher.first("seat-locked")["seatId"] for watcher in watchers} == {seat(15, 700)}


def test_polling_finds_the_process_that_has_its_session(through: Api) -> None:
    """Socket.IO over polling is many requests; each goes through a connection of its own."""
    for n in range(6):
        browser = {"User-Agent": f"browser {n}"}
        opened = Api(through.port).get("/socket.io/?EIO=4&transport=polling", headers=browser)
        assert opened.status == 200
        session = json.loads(bytes(opened.json).lstrip(b"0"))["sid"]
        path = f"/socket.io/?EIO=4&transport=polling&sid={session}"
        said = Api(through.port).call("POST", path, b"40", headers={**browser, "Content-Type": "text/plain"})
        assert said.status == 200
        assert b"Authentication required" in Api(through.port).get(path, headers=browser).json


# --- Deaths -----------------------------------------------------------------------------------------------------------


def kill(process: subprocess.Popen[bytes]) -> None:
    for part in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
        part.kill()
    process.wait()


class RetryingBuyers:
    """As docs/deployment.md tells clients to be: without an answer, or with 503 or 409, they ask again with the same key."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.again: Counter[str] = Counter()

    def buy(self, place: int) -> str | None:
        """Through the waiting room, reserve, pay, look: the reservation; None if one of them failed for GIVE_UP_SECONDS."""
        user, key = new_user(), {"Idempotency-Key": str(uuid.uuid4())}
        api = Api(self._port)
        admitted = self._until_answered(lambda: api.post(f"/queue/check/{STADIUM}", user=user))
        if admitted is None or admitted.json["state"] != "active":
            return None
        found = self._until_answered(lambda: api.reserve(user, STADIUM, seat(15, place), headers=key))
        if found is None or found.status != 201:
            return None
        reservation = found.json["reservation"]
        paid = self._until_answered(lambda: api.confirm(reservation["id"], reservation["totalAmount"], f"pay-{place}"))
        if paid is None or paid.status != 200:
            return None
        mine = self._until_answered(lambda: api.get("/reservations/my", user=user))
        shown = [(its["id"], its["status"]) for its in mine.json["reservations"]] if mine else []
        return reservation["id"] if shown == [(reservation["id"], "confirmed")] else None

    def _until_answered(self, ask: Callable[[], Answer]) -> Answer | None:
        give_up = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < give_up:
            try:
                answer = ask()
            except (OSError, HTTPException) as error:
                self.again[type(error).__name__] += 1
            else:
                if answer.status not in (409, 502, 503, 504):
                    return answer
                self.again[str(answer.status)] += 1
            time.sleep(0.2)
        return None


@pytest.mark.long
def test_no_sale_fails_and_who_looks_comes_back_when_a_web_and_a_realtime_process_are_killed(
    mortal_compose: Compose, world: Database
) -> None:
    compose, through = mortal_compose, Api(mortal_compose.proxy.port)
    world.settle()
    buyers, since = RetryingBuyers(through.port), world.one("SELECT now()")
    over = threading.Event()
    looked: Counter[int | str] = Counter()

    def look() -> None:
        api = Api(through.port)
        while not over.is_set():
            try:
                looked[api.get("/events").status] += 1
            except (OSError, HTTPException) as error:
                looked[type(error).__name__] += 1

    watchers = [compose.socket(f"/ws/seats/{STADIUM}") for _ in range(8)]
    for watcher in watchers:
        watcher.first("hello")
    with ThreadPoolExecutor(14) as threads:
        looking = [threads.submit(look) for _ in range(2)]
        selling = [threads.submit(buyers.buy, place) for place in range(1, 301)]
        wait_until(lambda: sum(sale.done() for sale in selling) > 60, seconds=60)
        kill(compose.web.pop(min(compose.web)))
        kill(compose.realtime.pop(min(compose.realtime)))
        wait_until(lambda: any(watcher.code is not None for watcher in watchers), seconds=20)
        time.sleep(1)  # the others of that process
        again = [
            compose.socket(f"/ws/seats/{STADIUM}") if watcher.code is not None else watcher for watcher in watchers
        ]
        for watcher in again:
            watcher.first("hello")
        sold = [sale.result() for sale in selling]
        over.set()
        for one in looking:
            one.result()

    assert None not in sold
    assert len(set(sold)) == 300
    made = world.rows(
        "SELECT id::text, status FROM reservations WHERE event_id = %s AND created_at > %s", STADIUM, since
    )
    # Each buyer has one, and one only.
    assert {row["id"]: row["status"] for row in made} == dict.fromkeys(sold, "confirmed")
    # The proxy asks the other process what only reads, and what may be asked twice.
    assert looked.keys() == {200}, looked
    assert buyers.again.keys() <= {"409"}, buyers.again
    assert_books_agree(STADIUM)

    assert through.reserve(new_user(), STADIUM, seat(15, 800)).status == 201
    for watcher in again:
        watcher.wait(lambda heard: seat(15, 800) in [message["seatId"] for message in heard.of_type("seat-locked")])


@pytest.mark.long
def test_the_proxy_says_so_when_nobody_is_left(tmp_path: Path) -> None:
    nobody = {"web": [free_port(), free_port()], "realtime": [free_port()]}
    with running_proxy(tmp_path / "proxy", static=tmp_path, **nobody) as proxy:
        for ask in (proxy.get, proxy.post):
            said = ask("/events")
            assert (said.status, said.headers["retry-after"]) == (503, "1")
            assert said.json["error"].startswith("일시적으로")
            assert said.seconds < 5
