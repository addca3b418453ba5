"""`manage.py run` from the outside: what a newcomer sees, and that nothing stays behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from websockets.sync.client import connect

from devtools.embedded import Servers, is_free

MANAGE = Path(__file__).parents[2] / "manage.py"
SET_BY_USER = ("DATABASE_URL", "REDIS_URL", "AUTH_SERVICE_URL", "JWT_SECRET", "JWT_PUBLIC_KEY", "DEBUG", "SECRET_KEY")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Run:
    """A running `manage.py run`, and what it has printed so far."""

    def __init__(self, port: int, local: Path, *arguments: str) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in SET_BY_USER}
        environment |= {"PORT": str(port), "LOCAL_DIR": str(local), "WEB_WORKERS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, MANAGE, "run", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.printed = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.printed += line

    def wait_for(self, text: str) -> None:
        self._wait(lambda: text in self.printed or self.process.poll() is not None, f"no {text!r} in")
        assert text in self.printed, self.printed

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.exit_code()

    def exit_code(self) -> int:
        code = self.process.wait(timeout=60)
        self._reader.join(timeout=10)
        return code

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def _wait(self, condition: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < deadline, f"{complaint}:\n{self.printed}"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """One for all tests: only the first run has to make everything.

    Not a `tmp_path`: another pytest that starts closes those to PostgreSQL's own user.
    """
    with TemporaryDirectory() as directory:
        yield Path(directory, "local")


@pytest.fixture
def local(directory: Path) -> Iterator[Path]:
    yield directory
    Servers(directory).stop(everything=True)


@pytest.fixture
def port() -> int:
    return next(port for port in range(18000, 19000, 2) if is_free(port) and is_free(port + 1))


@pytest.fixture
def start(local: Path, port: int) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def start(*arguments: str) -> Run:
        runs.append(Run(port, local, *arguments))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.end(signal.SIGTERM)


def assert_nothing_runs(local: Path, port: int, processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=15)
    assert [process.cmdline() for process in alive] == []
    assert is_free(port)
    assert is_free(port + 1)
    servers = Servers(local)
    assert (servers.postgres.pid(), servers.redis.pid()) == (None, None)


def test_runs_everything_until_it_is_told_to_stop(start: Callable[..., Run], local: Path, port: int) -> None:
    run = start()
    run.wait_for("/seats/reserve")

    assert f"The service answers at http://localhost:{port}" in run.printed
    for path in ("/health", *re.findall(rf"^http://localhost:{port}(/\S*)", run.printed, re.MULTILINE)):
        with urllib.request.urlopen(f"http://localhost:{port}{path}", timeout=5) as response:
            assert response.status == 200
    event = re.search(rf"^curl http://localhost:{port}/seats/events/(\S+)", run.printed, re.MULTILINE)
    assert event
    seats = re.search(rf"^(ws://localhost:{port + 1}/ws/seats/)EVENT_ID ", run.printed, re.MULTILINE)
    assert seats
    with connect(seats[1] + event[1]) as websocket:
        assert "hello" in str(websocket.recv(timeout=10))
    assert "/admin/    for organisers: user demo, password demo\n" in run.printed
    run.wait_for("ready.")  # the worker
    run.wait_for("beat runs ")
    children = run.children()

    assert run.end(signal.SIGTERM) == 0
    assert_nothing_runs(local, port, children)
    assert re.search(r"^worker +\| [\d-]+ [\d:,]+ INFO [\w.]+ \[-\] ", run.printed, re.MULTILINE)  # for people
    assert not re.search(r"^\w+ +\| \{", run.printed, re.MULTILINE)
    assert {"web", "worker", "beat"} <= set(re.findall(r"^(\w+) +\|", run.printed, re.MULTILINE))  # realtime is quiet


@pytest.mark.long
def test_after_ctrl_c_or_kill_9_the_next_run_goes_on_with_the_data(
    start: Callable[..., Run], local: Path, port: int
) -> None:
    first = start("--only", "web")
    first.wait_for("The service answers")
    assert first.end(signal.SIGINT) == 0
    assert_nothing_runs(local, port, [])

    killed = start("--only", "web")
    killed.wait_for("The service answers")
    assert "No migrations to apply" in killed.printed
    left_behind = killed.children()
    killed.end(signal.SIGKILL)

    run = start("--only", "web")
    run.wait_for("The service answers")
    assert run.end(signal.SIGTERM) == 0
    assert_nothing_runs(local, port, left_behind)


def test_stops_at_once_while_it_still_prepares(start: Callable[..., Run], local: Path, port: int) -> None:
    run = start("--only", "web")
    run.wait_for("migrate")

    assert run.end(signal.SIGTERM) == 0
    assert_nothing_runs(local, port, [])


@pytest.mark.long
def test_servers_that_ran_before_are_left_running(start: Callable[..., Run], local: Path) -> None:
    servers = Servers(local)
    servers.start()
    running = servers.postgres.pid(), servers.redis.pid()

    run = start("--only", "web")
    run.wait_for("The service answers")
    assert run.end(signal.SIGTERM) == 0

    assert (servers.postgres.pid(), servers.redis.pid()) == running


@pytest.mark.long
def test_a_process_that_dies_ends_the_run(start: Callable[..., Run], local: Path, port: int) -> None:
    run = start("--only", "web,realtime")
    run.wait_for("The service answers")
    children = run.children()
    next(process for process in children if "uvicorn" in " ".join(process.cmdline())).kill()

    assert run.exit_code() == 1
    assert "realtime exited with code -9" in run.printed
    assert_nothing_runs(local, port, children)


@pytest.mark.parametrize("offset", [0, 1])
def test_a_port_in_use_is_said_before_anything_starts(
    start: Callable[..., Run], local: Path, port: int, offset: int
) -> None:
    with socket.create_server(("127.0.0.1", port + offset)):
        run = start()
        assert run.exit_code() == 1

    assert f"Port {port + offset} is in use" in run.printed
    assert "migrate" not in run.printed
    assert_nothing_runs(local, port, [])


def test_an_unknown_process_is_refused(start: Callable[..., Run]) -> None:
    run = start("--only", "web,wbe")

    assert run.exit_code() == 1
    assert "wbe" in run.printed
