"""The servers that are measured, one process each."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Literal

import psutil  # type: ignore[import-untyped]

from bench.service import ROOT
from devtools.procfile import read_procfile

USUAL = "websockets-sansio"  # uvicorn's own, the faster of its two
WS = "8.23.0"  # of npm, for the row of Node
OURS, RAW = "ours", "limit"  # names of two of them
Way = Literal["datagram", "service", "layer"]  # by which a change gets to it


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    command: str
    way: Way
    path: str = "/"


def servers(event_id: str, node: Path | None) -> list[Server]:
    """Ours is the line of the Procfile; the others have the same settings as far as they know them."""
    ours = read_procfile(ROOT / "Procfile")["realtime"].replace("0.0.0.0", "127.0.0.1")  # noqa: S104
    usual = {
        "ticketservice.asgi": "bench.live.raw",
        "--lifespan on": "",
        "kernel.realtime.uvicorn_protocol:WebSocketProtocol": USUAL,
    }
    raw = reduce(lambda command, change: command.replace(*change), usual.items(), ours)
    seats = f"/ws/seats/{event_id}"
    daphne = "daphne --bind 127.0.0.1 --port ${PORT} --verbosity 0"
    granian = "granian --interface asginl --host 127.0.0.1 --port ${PORT} --workers 1 --no-log"
    application, limit = "ticketservice.asgi:application", "bench.live.raw:application"
    found = [
        Server(RAW, raw, "datagram"),
        Server(OURS, ours, "service", seats),
        Server("plain consumer", raw.replace(limit, "bench.live.plain:application"), "layer"),
        Server("limit, daphne", f"{daphne} {limit}", "datagram"),
        Server("ours, daphne", f"{daphne} {application}", "service", seats),
        Server("limit, granian", f"{granian} {limit}", "datagram"),
        Server("ours, granian", f"{granian} {application}", "service", seats),
    ]
    if node is not None:
        found.insert(3, Server("ws on Node", f"node bench/live/node.cjs ${{PORT}} {node}", "datagram"))
    return found


def node_modules(directory: Path) -> Path | None:
    """Where `ws` is installed; None if it cannot be installed."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return None
    if not (directory / "node_modules" / "ws").exists():
        directory.mkdir(exist_ok=True)
        (directory / "package.json").write_text('{"private": true}')
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0", "--fetch-timeout=10000"]
        with suppress(subprocess.SubprocessError):
            subprocess.run(
                ["npm", "install", *options, f"ws@{WS}"], cwd=directory, check=True, capture_output=True, timeout=60
            )
    return directory if (directory / "node_modules" / "ws").exists() else None


class Running:
    def __init__(self, server: Server, port: int, pid: int) -> None:
        self.server, self.port = server, port
        self._process = psutil.Process(pid)

    def _all(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    def cpu(self) -> float:
        """CPU time, in s, that it has used so far: of the kernel, in ticks of 10 ms."""
        used = [process.cpu_times() for process in self._all()]
        return sum(float(one.user + one.system) for one in used)

    def memory(self) -> int:
        """Resident bytes."""
        return sum(int(process.memory_info().rss) for process in self._all())


@contextmanager
def running(server: Server, environment: Mapping[str, str], log: Path) -> Iterator[Running]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {server.command}"],
            cwd=ROOT,
            env={**environment, "PORT": str(port)},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_until_it_listens(port, process, log)
        yield Running(server, port, process.pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # nobody is left to be sent away
        process.wait()


def _wait_until_it_listens(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    give_up = time.monotonic() + 60
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
            return
        if process.poll() is not None or time.monotonic() > give_up:
            raise RuntimeError(f"it did not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)
