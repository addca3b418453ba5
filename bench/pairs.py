"""What a change costs: reserving by the code of another directory and by this one, in turns.

    python -m bench.pairs DIRECTORY

`DIRECTORY` holds the project as it was before: `git archive COMMIT | tar -x -C DIRECTORY`. Both use one PostgreSQL and one
Redis, each a database of its own, and the same requests. It prints ratios of the costs, after by before, of pairs of turns.
"""

import argparse
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import jwt
import redis
from psycopg import sql

from bench import catalogue, load
from bench.load import http
from bench.service import ROOT, Service

TURN = 400  # reservations
CONNECTIONS = 4  # fewer than threads of `web`, or some get a 503 while all of them wait for PostgreSQL
WARM_UP_TURNS = 3


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two codes, running."""

    name: str
    port: int


@dataclass(frozen=True, slots=True)
class Turn:
    """CPU time, in us for a reservation, of all processes but the load generator, and by group; elapsed time, in us."""

    cpu: float
    by_group: Mapping[str, float]
    elapsed: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--buyers", type=int, default=20_000, help="fewer than reservations: each makes several")
    given = parser.parse_args()
    directory = ROOT / ".local" / "bench-pairs"
    directory.mkdir(parents=True, exist_ok=True)
    program = load.build(directory)
    service = Service(directory)
    try:
        with ExitStack() as stack:
            sides = [
                stack.enter_context(_running(service, name, root, number))
                for number, (name, root) in enumerate((("before", given.before.resolve()), ("after", ROOT)))
            ]
            _measure(service, program, sides, pairs=given.pairs, buyers=given.buyers)
    finally:
        service.servers.stop()


@contextmanager
def _running(service: Service, name: str, root: Path, number: int) -> Iterator[Side]:
    database = urlsplit(service.database_url)._replace(path=f"/pairs_{name}").geturl()
    cache = urlsplit(service.redis_url)._replace(path=f"/{number}").geturl()
    with catalogue.connect(service.database_url) as connection:
        identifier = sql.Identifier(f"pairs_{name}")
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
    with redis.Redis.from_url(cache) as client:
        client.flushdb()
    # With the limits that `Service` turns off for other workloads.
    limits = {"RELOCK_SECONDS": "600", "UNPAID_HOLD_SECONDS": "900"}
    environment = {"DATABASE_URL": database, "REDIS_URL": cache, **limits}
    service.manage("migrate", "--verbosity", "0", root=root, **environment)
    catalogue.load(database)
    with catalogue.connect(database) as connection:
        connection.execute("VACUUM ANALYZE events, seats, queue_policies")  # as autovacuum does; sales are few as yet
    with _web(service, f"web {name}", root, environment) as port:
        yield Side(name, port)


@contextmanager
def _web(service: Service, name: str, root: Path, environment: Mapping[str, str]) -> Iterator[int]:
    with service.running("web", workers=1, root=root, **environment) as port:
        service.groups[name] = service.groups.pop("web")
        try:
            yield port
        finally:
            service.groups["web"] = service.groups.pop(name)


def _measure(service: Service, program: Path, sides: list[Side], *, pairs: int, buyers: int) -> None:
    now = int(time.time())
    tokens = [
        jwt.encode({"userId": catalogue.named(f"buyer-{n}"), "exp": now + 86_400}, service.environment["JWT_SECRET"])
        for n in range(buyers)
    ]
    take = partial(_turn, service, program, tokens)
    for turn in range(WARM_UP_TURNS):
        for side in sides:
            take(side, turn)
    found: list[dict[str, Turn]] = []
    for pair in range(pairs):
        order = sides if pair % 2 == 0 else sides[::-1]
        found.append({side.name: take(side, WARM_UP_TURNS + pair) for side in order})
    for what in ("cpu", "elapsed"):
        ratios = sorted(getattr(turns["after"], what) / getattr(turns["before"], what) for turns in found)
        lower, upper = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        medians = {name: statistics.median(getattr(turns[name], what) for turns in found) for name in found[0]}
        middle = f"{lower:.3f} to {upper:.3f}"
        print(f"{what}: after / before {statistics.median(ratios):.3f}, middle half of {pairs} pairs {middle}")
        print(f"    us for a reservation: before {medians['before']:.0f}, after {medians['after']:.0f}")
    for name in found[0]:
        groups = found[0][name].by_group
        print(
            name, {group: round(statistics.median(turns[name].by_group[group] for turns in found)) for group in groups}
        )


def _turn(service: Service, program: Path, tokens: list[str], side: Side, number: int) -> Turn:
    """As many reservations as a turn has, of seats that nobody has. Raises RuntimeError unless all are made, once warm."""
    requests = [
        http(
            "POST",
            "/seats/reserve",
            body={"eventId": catalogue.LARGE, "seatIds": [catalogue.seat("large", n + 1)]},
            Authorization=f"Bearer {tokens[n % len(tokens)]}",
        )
        for n in range(number * TURN, (number + 1) * TURN)
    ]
    before, started = service.cpu(), time.monotonic()
    made = load.run(
        program, port=side.port, requests=requests, connections=CONNECTIONS, seconds=30, warm_up=0, once=True
    )
    elapsed, after = time.monotonic() - started, service.cpu()
    if made.statuses != {201: TURN} and number >= WARM_UP_TURNS:
        raise RuntimeError(f"{side.name}: {made.statuses}, {made.errors} errors")
    used = {group: (after[group] - before[group]) * 1e6 / TURN for group in before}
    by_group = {("web" if group.startswith("web") else group): 0.0 for group in used}
    for group, spent in used.items():
        by_group["web" if group.startswith("web") else group] += spent
    return Turn(sum(used.values()), by_group, elapsed * 1e6 / TURN)


if __name__ == "__main__":
    main()
