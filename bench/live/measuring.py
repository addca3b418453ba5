"""One server, one crowd: what a delivery and an idle socket cost, how late changes come, and whether any is lost."""

import resource
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from bench.live import changes, servers
from bench.live.changes import Make
from bench.live.servers import Running, Server
from bench.live.viewers import viewers
from bench.service import Service

SETTLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFigure:
    """Times in ms, `cpu` in us for each delivered change, memory in bytes: of the process, empty, and for a socket."""

    server: str
    sockets: int
    rate: float
    cpu: float
    busy: float  # part of one core
    p50: float
    p99: float
    slowest: float
    missed: int  # deliveries, a second after the last change: late, or lost
    closed: int
    empty: int
    per_socket: int
    bytes_per_frame: float
    client_cpu: float  # us for each delivery
    delivered_per_second: float  # deliveries, of all sockets


@dataclass
class LiveBench:
    service: Service
    program: Path
    tokens: list[str]
    web: int  # its port

    def __post_init__(self) -> None:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # of what is started from here on

    def measure(self, server: Server, *, sockets: int, rate: float, seconds: float) -> LiveFigure:
        log = self.service.directory / "logs" / "live.log"
        with servers.running(server, self.service.environment, log) as running:
            with viewers(self.program, port=running.port, path=server.path, count=20):  # what is made only once
                time.sleep(SETTLE_SECONDS)
            time.sleep(SETTLE_SECONDS)
            empty = running.memory()
            with viewers(self.program, port=running.port, path=server.path, count=sockets) as crowd:
                time.sleep(2 * SETTLE_SECONDS)
                idle = running.memory()
                with self._changes(running) as make:
                    changes.make_at(rate, 1, make)  # warm
                    time.sleep(SETTLE_SECONDS)
                    crowd.begin()
                    before, started = running.cpu(), time.monotonic()
                    made = changes.make_at(rate, seconds, make)
                    time.sleep(SETTLE_SECONDS)
                    counted, used = crowd.end(), running.cpu() - before
                    passed = time.monotonic() - started
        delivered = max(1, counted["changes"])
        return LiveFigure(
            server=server.name,
            sockets=sockets,
            rate=rate,
            cpu=used * 1e6 / delivered,
            busy=used / passed,
            p50=counted["p50"],
            p99=counted["p99"],
            slowest=counted["slowest"],
            missed=max(0, made * sockets - counted["changes"]),
            closed=counted["closed"],
            empty=empty,
            per_socket=(idle - empty) // sockets,
            bytes_per_frame=counted["bytes"] / max(1, counted["frames"]),
            client_cpu=counted["cpu"] * 1e6 / delivered,
            delivered_per_second=counted["changes"] / seconds,
        )

    def _changes(self, running: Running) -> AbstractContextManager[Make]:
        match running.server.way:
            case "datagram":
                return changes.by_datagram(running.port)
            case "layer":
                return changes.by_layer()
            case "service":
                return changes.by_buyers(self.web, self.tokens)
