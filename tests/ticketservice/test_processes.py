"""The processes as an operator sees them: what they log, how they stop, and what they say when they can not start."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from kernel.tasks.enqueue import enqueue
from tests.support.background import WORKERS
from tests.support.harness import (
    HALL,
    INTERNAL,
    STADIUM,
    UPCOMING,
    Api,
    Database,
    free_port,
    is_up,
    new_user,
    running_process,
    seat,
    wait_until,
)
from tests.support.live import running_realtime
from tests.support.seat_layouts import SECTION, new_event

pytestmark = pytest.mark.slow

STOP_SECONDS = 15  # as long as docker compose waits for web and realtime


def lines(log: Path) -> list[dict[str, Any]]:
    """The log, every line of which must be a JSON object."""
    found = []
    for line in log.read_text().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            pytest.fail(f"{log.name} has a line that is not JSON: {line}")
    return found


# --- Logs -------------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_every_line_is_json_and_a_request_can_be_followed_into_its_task_and_its_socket(
    world: Database, database_url: str, tmp_path: Path
) -> None:
    environment = {"DATABASE_URL": database_url, "LOG_FORMAT": "json", "SLOW_REQUEST_MS": "1"}
    logs = {name: tmp_path / name for name in ("web", "realtime", "worker", "beat")}
    port = free_port()
    with (
        running_process("web", logs["web"], PORT=str(port), WEB_WORKERS="1", **environment),
        running_realtime(logs["realtime"], **environment) as realtime,
        running_process("worker", logs["worker"], **environment) as worker,
        running_process("beat", logs["beat"], BEAT_SCHEDULE=str(tmp_path / "schedule"), **environment) as beat,
    ):
        api = Api(port)
        wait_until(lambda: is_up(api), seconds=60)
        world.rows("UPDATE events SET sale_start_date = now() + interval '1 second' WHERE id = %s", UPCOMING)
        followed = {**INTERNAL, "X-Request-Id": "the-request-that-is-followed"}
        answer = api.post("/internal/event-status/reschedule", headers=followed)
        assert answer.headers["x-request-id"] == "the-request-that-is-followed"
        api.get("/events", headers={"X-Request-Id": "not {well} formed"})
        wait_until(lambda: world.one("SELECT status FROM events WHERE id = %s", UPCOMING) == "on_sale", seconds=60)
        wait_until(lambda: "followed" in logs["worker"].read_text(), seconds=30)
        flooding = realtime.seats(HALL, additional_headers={"X-Request-Id": "the-socket-that-is-followed"})
        with suppress(ConnectionClosed):
            for _ in range(40):
                flooding.send("{}")
        assert flooding.closed_with() == 1008
        for process in (realtime.process, worker, beat):
            process.send_signal(signal.SIGTERM)
        assert [process.wait(STOP_SECONDS) for process in (realtime.process, worker, beat)] == [-signal.SIGTERM, 0, 0]

    found = {name: lines(log) for name, log in logs.items()}
    assert all(found.values())
    for line in (line for its in found.values() for line in its):
        assert line.keys() >= {"timestamp", "level", "logger", "message"}
    (task,) = [line for line in found["worker"] if line.get("request_id") == "the-request-that-is-followed"]
    assert task["task"] == "seats.tasks.update_statuses"
    assert uuid.UUID(task["task_id"])
    (closed,) = [line for line in found["realtime"] if line.get("request_id") == "the-socket-that-is-followed"]
    assert (closed["code"], closed["path"]) == (1008, f"/ws/seats/{HALL}")
    assert any("Warm shutdown" in line["message"] for line in found["worker"])  # written past every logger
    slow = [line for line in found["web"] if line["message"] == "slow request"]
    facts = next(line for line in slow if line["path"] == "/internal/event-status/reschedule")
    assert (facts["request_id"], facts["method"], facts["status"]) == ("the-request-that-is-followed", "POST", 200)
    assert facts["ms"] >= 1
    assert not any("well" in line["request_id"] for line in slow)


# --- Starting ---------------------------------------------------------------------------------------------------------


def test_a_process_that_can_not_start_ends_and_says_what_to_set(tmp_path: Path) -> None:
    environment = {"DEBUG": "false", "SECRET_KEY": "changeme", "PORT": str(free_port())}
    with ExitStack() as stack:
        started = {
            name: stack.enter_context(running_process(name, tmp_path / name, **environment))
            for name in ("web", "realtime", "worker", "beat")
        }
        assert {name: process.wait(60) for name, process in started.items()} == dict.fromkeys(started, 1)
    for name in started:  # on its last lines: that is what `docker logs --tail` and a process manager show
        last = (tmp_path / name).read_text().splitlines()[-3:]
        assert "SECRET_KEY is not set, or is a default. Set it to " in "\n".join(last), (name, last)


# --- Stopping ---------------------------------------------------------------------------------------------------------


class BuyingCrowd:
    """Buyers who take seats one after the other, until they are told to stop; what they were answered."""

    def __init__(self, port: int, places: Iterator[int], size: int) -> None:
        self._places, self._lock = places, threading.Lock()
        self.answered: list[str] = []
        self.failed: list[Exception] = []
        self.over = threading.Event()
        self._threads = ThreadPoolExecutor(size)
        self._running = [self._threads.submit(self._buy, Api(port)) for _ in range(size)]

    def _buy(self, api: Api) -> None:
        while not self.over.is_set():
            with self._lock:
                place = next(self._places)
            try:
                answer = api.reserve(new_user(), STADIUM, seat(15, place))
            except (OSError, HTTPException) as error:  # it listens no more
                self.failed.append(error)
                return
            if answer.status == 201:
                self.answered.append(answer.json["reservation"]["id"])

    def wait(self) -> None:
        self.over.set()
        for running in self._running:
            running.result(30)
        self._threads.shutdown()


def by_sigterm(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)


def by_ctrl_c(process: "subprocess.Popen[bytes]") -> None:
    """As a terminal does it: to all processes at once."""
    os.killpg(process.pid, signal.SIGINT)


@pytest.mark.long
@pytest.mark.parametrize("tell_to_stop", [by_sigterm, by_ctrl_c])
def test_web_answers_what_it_has_begun_before_it_stops(
    world: Database, database_url: str, tmp_path: Path, tell_to_stop: Any
) -> None:
    port = free_port()
    environment = {"DATABASE_URL": database_url, "WEB_WORKERS": "2", "WEB_THREADS": "8", "PORT": str(port)}
    since = world.one("SELECT now()")
    with running_process("web", tmp_path / "web", **environment) as web:
        wait_until(lambda: is_up(Api(port)), seconds=60)
        crowd = BuyingCrowd(port, iter(range(1, 4900)), size=12)
        wait_until(lambda: len(crowd.answered) > 60, seconds=60)
        started = time.monotonic()
        slow = socket.create_connection(("127.0.0.1", port))
        slow.sendall(b"POST /seats/reserve HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        idle = socket.create_connection(("127.0.0.1", port))
        tell_to_stop(web)
        assert web.wait(STOP_SECONDS) == 0
        took = time.monotonic() - started
        crowd.wait()
        slow.close()
        idle.close()

    sold = {str(row["id"]) for row in world.rows("SELECT id FROM reservations WHERE created_at > %s", since)}
    assert set(crowd.answered) == sold  # nothing that was answered is lost, and nothing is sold that nobody was told of
    assert took < STOP_SECONDS
    assert len(crowd.failed) == 12


@pytest.mark.long
@pytest.mark.parametrize("name", ["web", "worker", "beat"])
def test_ctrl_c_stops_a_process_and_kills_nothing(
    world: Database, database_url: str, tmp_path: Path, name: str
) -> None:
    port, log = free_port(), tmp_path / "log"
    is_ready = {
        "web": lambda: is_up(Api(port)),
        "worker": lambda: log.read_text().count("ready.") == WORKERS,
        "beat": lambda: list(tmp_path.glob("schedule*")),
    }
    environment = {"DATABASE_URL": database_url, "BEAT_SCHEDULE": str(tmp_path / "schedule"), "PORT": str(port)}
    with running_process(name, log, **environment) as process:
        wait_until(is_ready[name], seconds=60)
        by_ctrl_c(process)
        assert process.wait(STOP_SECONDS) == 0
    assert not re.search("(?i)kill|unexpected exit|traceback", log.read_text()), log.read_text()


def test_ctrl_c_tells_sockets_to_come_back(world: Database, database_url: str, tmp_path: Path) -> None:
    with running_realtime(tmp_path / "realtime", DATABASE_URL=database_url) as realtime:
        heard = realtime.seats(HALL)
        heard.first("hello")
        by_ctrl_c(realtime.process)
        assert heard.closed_with() == 1012
        realtime.process.wait(STOP_SECONDS)
    assert not re.search("(?i)kill|traceback", (tmp_path / "realtime").read_text())


def test_web_stops_at_once_while_it_starts(world: Database, database_url: str, tmp_path: Path) -> None:
    """Its workers load the application for some seconds; one that is told to stop meanwhile must not begin to serve."""
    environment = {"DATABASE_URL": database_url, "WEB_WORKERS": "2", "PORT": str(free_port())}
    with running_process("web", tmp_path / "web", **environment) as web:
        wait_until(lambda: sum(map(dies_of_sigterm, psutil.Process(web.pid).children())) == 2, seconds=60)
        web.send_signal(signal.SIGTERM)
        assert web.wait(6) == 0  # workers that do not stop are killed after 8


def dies_of_sigterm(process: psutil.Process) -> bool:
    """Whether it has no handler for it, as long as it is no server yet."""
    (caught,) = re.findall(r"SigCgt:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())
    return not int(caught, 16) >> signal.SIGTERM - 1 & 1


@pytest.mark.long
def test_worker_finishes_its_task_before_it_stops(world: Database, database_url: str, tmp_path: Path) -> None:
    event = new_event(world, SECTION)
    with running_process("worker", tmp_path / "worker", DATABASE_URL=database_url, LOG_FORMAT="json") as worker:
        wait_until(lambda: (tmp_path / "worker").read_text().count("ready.") == WORKERS, seconds=60)
        other = Database(database_url)
        other.rows("BEGIN")
        other.rows("SELECT FROM events WHERE id = %s FOR UPDATE", event)
        enqueue("seats.tasks.generate_seats_of", event_id=str(event))
        wait_until(lambda: waits_for_a_row(world), seconds=60)
        worker.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert worker.poll() is None
        other.close()  # lets go of the row
        assert worker.wait(STOP_SECONDS) == 0

    assert world.one("SELECT count(*) FROM seats WHERE event_id = %s", event) > 0
    assert [line for line in lines(tmp_path / "worker") if "generate_seats_of" in line["message"]]


def waits_for_a_row(database: Database) -> bool:
    waiting: int = database.one(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    return waiting > 0


@pytest.mark.long
def test_a_worker_that_ends_is_started_again_and_the_others_go_on(
    world: Database, database_url: str, tmp_path: Path
) -> None:
    metrics = tmp_path / "not" / "there" / "yet"
    log = tmp_path / "worker"
    environment = {
        "DATABASE_URL": database_url,
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        "METRICS_PORT": str(free_port()),
    }
    with running_process("worker", log, **environment) as worker:
        wait_until(lambda: log.read_text().count("ready.") == WORKERS, seconds=60)
        children = {process.pid: process for process in psutil.Process(worker.pid).children()}
        (ticks,) = (pid for pid, process in children.items() if "ticks@%h" in process.cmdline())
        os.kill(ticks, signal.SIGKILL)
        wait_until(lambda: log.read_text().count("ready.") == WORKERS + 1, seconds=60)
        after = {process.pid for process in psutil.Process(worker.pid).children()}
        assert after > children.keys() - {ticks}
        assert len(after) == WORKERS
        assert "the worker of ticks exited with code -9, and is started again" in log.read_text()
        os.kill(worker.pid, signal.SIGKILL)
        wait_until(lambda: not any(map(psutil.pid_exists, after)), seconds=STOP_SECONDS)  # nobody is left behind
    assert metrics.is_dir()
