"""The processes that are measured: the lines of the Procfile, PostgreSQL and Redis, and the empty Django view."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from devtools.embedded import Servers
from devtools.procfile import read_procfile

ROOT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 15
# Counted as by default, and never refused: a thousand users, at one address, ask as fast as they can.
RATE_LIMITS = (
    "RATE_LIMIT_JOIN",
    "RATE_LIMIT_STATUS",
    "RATE_LIMIT_RESERVE",
    "RATE_LIMIT_SOCKETS",
    "RATE_LIMIT_SOCKETS_PER_ADDRESS",
)


class Service:
    """Everything that runs. `cpu()` is the CPU time, in s, that each group of processes has used so far."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "logs").mkdir(parents=True, exist_ok=True)
        self.servers = Servers(directory)
        self.environment = {
            **os.environ,
            **self.servers.start_needed(os.environ),
            "SECRET_KEY": secrets.token_urlsafe(48),
            "JWT_SECRET": secrets.token_urlsafe(48),
            "INTERNAL_API_TOKEN": secrets.token_urlsafe(48),
            # A thousand users buy for everybody, and reserve and cancel the same seats.
            "MAX_TICKETS_PER_BUYER": "10000",
            "RELOCK_SECONDS": "0",
            "UNPAID_HOLD_SECONDS": "0",
            **dict.fromkeys(RATE_LIMITS, "100000/h"),
            "BEAT_SCHEDULE": str(directory / "beat"),
            "DJANGO_SETTINGS_MODULE": "ticketservice.settings",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        for name in ("DEBUG", "AUTH_SERVICE_URL", "JWT_PUBLIC_KEY"):
            self.environment.pop(name, None)
        self.groups: dict[str, list[int]] = {}
        pids = {"postgres": self.servers.postgres.pid(), "redis": self.servers.redis.pid()}
        self.groups |= {name: [pid] for name, pid in pids.items() if pid}  # given servers are somebody else's

    @property
    def database_url(self) -> str:
        return self.environment["DATABASE_URL"]

    @property
    def redis_url(self) -> str:
        return self.environment["REDIS_URL"]

    def manage(self, *arguments: str, root: Path = ROOT, **environment: str) -> None:
        command = [sys.executable, "manage.py", *arguments]
        environment = {**self.environment, **environment}
        subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL)

    @contextmanager
    def running(
        self, name: str, *, application: str = "", workers: int = 0, root: Path = ROOT, **environment: str
    ) -> Iterator[int]:
        """A line of the Procfile, with `application` instead of its own if given. Its port, if it listens on one."""
        process = "web" if application else name
        command = read_procfile(root / "Procfile")[process]
        if application:
            command = command.replace("ticketservice.wsgi:application", application)
        port = _free_port()
        environment = {**self.environment, "PORT": str(port), "WEB_WORKERS": str(workers), **environment}
        with (self.directory / "logs" / f"{name}.log").open("wb") as log:
            running = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                cwd=root,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.groups[name] = [running.pid]
        try:
            if process == "web":
                _wait_until_it_answers(port, running, self.directory / "logs" / f"{name}.log")
            yield port
        finally:
            del self.groups[name]
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGTERM)
                try:
                    running.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    os.killpg(running.pid, signal.SIGKILL)

    def cpu(self) -> dict[str, float]:
        return {name: sum(_cpu_of(process) for process in _family(pids)) for name, pids in self.groups.items()}

    def memory(self, name: str) -> list[int]:
        """Bytes of each process of a group that no other shares with it (USS), largest first."""
        found = []
        for process in _family(self.groups[name]):
            with suppress(psutil.Error):
                found.append(process.memory_full_info().uss)
        return sorted(found, reverse=True)


def _family(pids: list[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(pid)
            yield parent
            yield from parent.children(recursive=True)


def _cpu_of(process: psutil.Process) -> float:
    try:
        used = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(used.user + used.system + used.children_user + used.children_system)  # children that have ended


def machine_cpu() -> float:
    """CPU time, in s, that all processes of the machine have used."""
    used = psutil.cpu_times()
    return float(sum(used) - used.idle - getattr(used, "iowait", 0) - getattr(used, "guest", 0))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_answers(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    give_up = time.monotonic() + 60
    while True:
        with suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
            return
        if process.poll() is not None or time.monotonic() > give_up:
            raise RuntimeError(f"it did not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)
