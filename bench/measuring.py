"""Runs workloads, each next to its limit, since both share the machine with whatever else runs on it."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import catalogue, limits, load
from bench.load import Load, http
from bench.service import Service, machine_cpu
from bench.workloads import CROWD, Buyers, LimitName, Prepared, Workload, one_seat

CONNECTIONS = 32
WARM_UP = 0.3  # seconds, in each run
SETTLE = 0.2  # seconds, until what the limit has used is no longer counted: PostgreSQL's processes have ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One run. Latencies in ms; `cpu` by group of processes, in us per answer; `strangers`: their part of all CPU time.

    `workers` is 0 where their number does not matter.
    """

    name: str
    workers: int
    per_second: float
    p50: float
    p99: float
    slowest: float
    cpu: dict[str, float]
    strangers: float
    limit: LimitName = ""
    limit_per_second: float = 0.0
    bytes_per_answer: int = 0
    wrong: int = 0  # answers with another status than they should have, and lost connections
    statements: int = 0  # that a crowd made PostgreSQL run; -1: not known
    limit_cpu: float = 0.0  # of a limit that is compared by cost, as that of sockets is: us per delivered message
    empty: int = 0  # resident bytes of `realtime` without a socket, and for each socket
    per_socket: int = 0

    @property
    def ratio(self) -> float:
        """More is better: our throughput by the limit's; where cost is compared, the limit's by ours."""
        if self.limit_cpu:
            return self.limit_cpu / self.cpu["realtime"]
        return self.per_second / self.limit_per_second if self.limit_per_second else 0.0


@dataclass
class Bench:
    service: Service
    program: Path
    seconds: float
    say: Callable[[str], None]
    tokens: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tokens = catalogue.tokens(self.service.environment["JWT_SECRET"])

    @contextmanager
    def web(self, workers: int, *, database_url: str = "") -> Iterator[tuple[Buyers, int]]:
        """`web` and the empty view, with so many workers each: who asks the one, and the port of the other."""
        url = database_url or self.service.database_url
        with (
            self.service.running("web", workers=workers, DATABASE_URL=url) as port,
            self.service.running("empty", application="bench.empty:application", workers=workers) as empty,
        ):
            internal = self.service.environment["INTERNAL_API_TOKEN"]
            yield (
                Buyers(port=port, tokens=self.tokens, internal_token=internal, database_url=url),
                empty,
            )

    def measure(self, workload: Workload, buyers: Buyers, empty: int, *, workers: int) -> Figure:
        prepared = workload.prepare(buyers)
        if workload.limit in ("empty view", "same bytes"):  # each worker has its own memory to fill
            self.run(buyers.port, [*prepared.requests] * 4, seconds=30, once=True)
        limit = self.limit(workload, prepared, empty)
        time.sleep(SETTLE)
        found, cpu, strangers = self._load(buyers.port, prepared)
        return Figure(
            name=workload.name,
            workers=workers,
            per_second=found.per_second,
            p50=found.p50,
            p99=found.p99,
            slowest=found.slowest,
            cpu=cpu,
            strangers=strangers,
            limit=workload.limit,
            limit_per_second=limit,
            bytes_per_answer=found.bytes_per_answer,
            wrong=found.errors + sum(times for status, times in found.statuses.items() if status != prepared.status),
        )

    def limit(self, workload: Workload, prepared: Prepared, empty: int) -> float:
        match workload.limit:
            case "empty view":
                return self._empty(empty, "/")
            case "same bytes":
                return self._empty(empty, f"/{prepared.bytes_per_answer}")
            case "pgbench":
                return limits.postgresql(self.service.database_url, workload.name, self.seconds)
            case "redis script":
                url = self.service.redis_url
                return limits.redis_script(self.program, url, workload.name, seconds=self.seconds).per_second
        return 0.0

    def crowd(self, buyers: Buyers, *, workers: int) -> Figure:
        """So many buyers ask for one seat at the same moment."""
        with counted_statements(self.service) as statements:
            before, started = self.service.cpu(), time.monotonic()
            found = load.run(
                self.program,
                port=buyers.port,
                requests=one_seat(buyers),
                connections=CROWD,
                seconds=30,
                warm_up=0,
                once=True,
            )
            cpu = _per_answer(before, self.service.cpu(), found)
            time.sleep(max(0.0, started + 0.5 - time.monotonic()))
        sold = found.statuses.get(201, 0)
        return Figure(
            name=f"{CROWD} buyers, one seat",
            workers=workers,
            per_second=found.per_second,
            p50=found.p50,
            p99=found.p99,
            slowest=found.slowest,
            cpu=cpu,
            strangers=0.0,
            wrong=found.errors + abs(sold - 1) + abs(CROWD - 1 - found.statuses.get(400, 0)),
            statements=statements(),
        )

    def _empty(self, port: int, path: str) -> float:
        return self.run(port, [http("GET", path)], seconds=self.seconds, warm_up=WARM_UP).per_second

    def run(
        self, port: int, requests: Sequence[bytes], *, seconds: float, warm_up: float = 0, once: bool = False
    ) -> Load:
        return load.run(
            self.program,
            port=port,
            requests=requests,
            connections=CONNECTIONS,
            seconds=seconds,
            warm_up=warm_up,
            once=once,
        )

    def _load(self, port: int, prepared: Prepared) -> tuple[Load, dict[str, float], float]:
        before, everybody, started = self.service.cpu(), machine_cpu(), time.monotonic()
        found = self.run(port, prepared.requests, seconds=self.seconds, warm_up=WARM_UP, once=prepared.once)
        after, passed = self.service.cpu(), time.monotonic() - started
        ours = sum(after[group] - before[group] for group in before) + found.cpu
        strangers = max(0.0, machine_cpu() - everybody - ours) / (passed * (os.cpu_count() or 1))
        return found, _per_answer(before, after, found), strangers


def _per_answer(before: dict[str, float], after: dict[str, float], found: Load) -> dict[str, float]:
    used = {group: after[group] - before[group] for group in before} | {"load": found.cpu}
    return {group: seconds * 1e6 / max(1, found.all_answers) for group, seconds in used.items()}


@contextmanager
def counted_statements(service: Service) -> Iterator[Callable[[], int]]:
    """How many reserving statements PostgreSQL ran meanwhile, from its log; -1 if the server is not ours."""
    server, counts = service.servers.postgres, [-1]
    if not server.pid() or service.database_url != server.url:
        yield lambda: counts[0]
        return

    def log_all(setting: str) -> None:
        with catalogue.connect(service.database_url) as connection:
            connection.execute(f"ALTER SYSTEM {setting}")
            connection.execute("SELECT pg_reload_conf()")
        time.sleep(0.5)

    log_all("SET log_min_duration_statement = 0")
    begins = server.log_file.stat().st_size
    try:
        yield lambda: counts[0]
    finally:
        log_all("RESET log_min_duration_statement")
        with server.log_file.open("rb") as log:
            log.seek(begins)
            # Each is logged once for each of its three steps; the last one is `execute`.
            counts[0] = sum(b" execute " in line and b"WITH earlier" in line for line in _entries(log.read()))


def _entries(log: bytes) -> Iterator[bytes]:
    """Entries of a log in which statements have several lines."""
    entry = b""
    for line in log.splitlines():
        if b" LOG: " in line:
            yield entry
            entry = b""
        entry += line.strip() + b" "
    yield entry
