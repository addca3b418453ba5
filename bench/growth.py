"""`make bench-growth`: how costs grow with seats, events, people in line, sockets and workers. See docs/scaling.md."""

import json
import os
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import django
import redis

from bench import catalogue, load
from bench.live import changes, measuring, servers, viewers
from bench.load import http
from bench.service import ROOT, Service

SEATS = (1_000, 4_900, 10_000, 100_000)
EVENTS = (200, 2_000, 20_000)
PEOPLE = (1_000, 10_000, 100_000, 1_000_000)
SOCKETS = (250, 1_000, 4_000)
CHANGES = 5.0  # a second
WORKERS = (1, 2, 4)
REPEATS = 7

_EVENT = """
INSERT INTO events (id, title, venue, event_date, sale_start_date, sale_end_date, status, artist_name, seat_layout_id)
VALUES (%(id)s, 'Bench grown', 'Hall', now() + interval '90 days', now() - interval '1 day', now() + interval '60 days',
        'on_sale', 'Artist', %(layout)s)
"""
_SEATS = """
INSERT INTO seats (id, event_id, section, row_number, seat_number, seat_label, price)
SELECT md5(%(event)s || '-' || n)::uuid, %(event)s::uuid, 'S', 1 + n / 100, 1 + mod(n, 100), 'S-' || n, 100000
FROM generate_series(0, %(seats)s - 1) n
"""
_MORE_EVENTS = """
INSERT INTO events (title, venue, event_date, sale_start_date, sale_end_date, status, artist_name)
SELECT 'Bench more ' || n, 'Hall', now() + interval '90 days', now() - n * interval '1 min', now() + interval '60 days',
       'on_sale', 'Artist ' || n
FROM generate_series(1, %(events)s) n
"""


def main() -> None:
    directory = ROOT / ".local" / "bench"
    directory.mkdir(parents=True, exist_ok=True)
    program = load.build(directory)
    service = Service(directory)
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        os.environ.update(service.environment)
        django.setup()
        catalogue.refuse_foreign(service.database_url, service.redis_url)
        service.manage("migrate", "--verbosity", "0")
        catalogue.load(service.database_url)
        _tidy_up(service)  # what was left by one that was stopped
        with service.running("web", workers=1) as port:
            tokens = catalogue.tokens(service.environment["JWT_SECRET"])
            found["seats"] = _table("seats in an event", _with_seats(service, program, port, tokens))
            found["events"] = _table("events", _with_events(service, port))
            found["sockets"] = _table("sockets", _with_sockets(service, port, tokens))
        found["people"] = _table("people in line", _with_people(service))
        found["workers"] = _table("web workers", _with_workers(service, program, tokens))
    finally:
        _tidy_up(service)
        service.servers.stop()
    path = directory / f"growth-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(found, indent=1))
    print(path)


def _tidy_up(service: Service) -> None:
    catalogue.reset(service.database_url, service.redis_url)
    with catalogue.connect(service.database_url) as connection:
        connection.execute("DELETE FROM seats WHERE seat_label LIKE 'S-%'")
        connection.execute("DELETE FROM events WHERE title LIKE 'Bench grown%' OR title LIKE 'Bench more%'")


def _table(name: str, rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Prints rows as they come."""
    found: list[dict[str, Any]] = []
    for row in rows:
        if not found:
            print(f"\n{name:>20}" + "".join(f"{title:>22}" for title in list(row)[1:]), flush=True)
        values = [f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" for value in row.values()]
        print(f"{values[0]:>20}" + "".join(f"{value:>22}" for value in values[1:]), flush=True)
        found.append(row)
    return found


def _ms(action: Callable[[], object]) -> float:
    """The median of a few, in ms."""
    took = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        action()
        took.append((time.perf_counter() - started) * 1000)
    return statistics.median(took)


def _with_seats(service: Service, program: Any, port: int, tokens: list[str]) -> Iterator[dict[str, Any]]:
    from seats.services import publish_map_changed

    for count in SEATS:
        event = catalogue.named(f"event-grown-{count}")
        with catalogue.connect(service.database_url) as connection:
            layout = connection.execute("SELECT id FROM seat_layouts LIMIT 1").fetchone()
            connection.execute(_EVENT, {"id": event, "layout": layout[0] if layout else None})
            connection.execute(_SEATS, {"event": event, "seats": count})
            connection.execute("ANALYZE seats")
        request = urllib.request.Request(f"http://127.0.0.1:{port}/seats/events/{event}")
        request.add_header("Accept-Encoding", "gzip")

        def fetch(request: urllib.request.Request = request) -> int:
            with urllib.request.urlopen(request) as answer:
                return len(answer.read())

        def fetch_changed(event: str = event, fetch: Callable[[], int] = fetch) -> None:
            publish_map_changed(event_id=UUID(event))
            fetch()

        size = fetch()
        made = _ms(fetch_changed)
        given = http("GET", f"/seats/events/{event}", Accept_Encoding="gzip")
        maps = load.run(program, port=port, requests=[given], connections=32, seconds=1.5, warm_up=0.3)
        seats = [catalogue.named(f"{event}-{n}") for n in range(min(count, 20_000))]
        bought = [_reserve(tokens, event, n, seat) for n, seat in enumerate(seats)]
        sales = load.run(program, port=port, requests=bought, connections=32, seconds=1.5, warm_up=0, once=True)
        yield {
            "seats": count,
            "map anew, ms": made,
            "map, KB gzip": size / 1000,
            "maps per s": round(maps.per_second),
            "reserve per s": round(sales.per_second),
        }


def _with_events(service: Service, port: int) -> Iterator[dict[str, Any]]:
    from events.selectors import forget_event_lists
    from reservations.services import sweep
    from seats.services import update_statuses

    total = catalogue.OTHERS
    for count in EVENTS:
        with catalogue.connect(service.database_url) as connection:
            connection.execute(_MORE_EVENTS, {"events": count - total})
            connection.execute("ANALYZE events")
        total = max(count, total)

        def first_page(query: str = "") -> None:
            forget_event_lists()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/events{query}") as answer:
                answer.read()

        update_statuses()
        yield {
            "events": count,
            "list anew, ms": _ms(first_page),
            "last page anew, ms": _ms(partial(first_page, f"?page={total // 10}")),
            "search anew, ms": _ms(partial(first_page, "?q=Artist%2017")),
            "status updater, ms": _ms(update_statuses),
            "sweep, ms": _ms(sweep),
        }


def _with_sockets(service: Service, web: int, tokens: list[str]) -> Iterator[dict[str, Any]]:
    bench = measuring.LiveBench(service, viewers.build(service.directory), tokens, web)
    (ours,) = (server for server in servers.servers(changes.EVENT, None) if server.name == servers.OURS)
    for count in SOCKETS:
        catalogue.reset(service.database_url, service.redis_url)
        found = bench.measure(ours, sockets=count, rate=CHANGES, seconds=4)
        yield {
            "sockets": count,
            "us a delivery": found.cpu,
            "of a core, %": found.busy * 100,
            "p50, ms": found.p50,
            "p99, ms": found.p99,
            "missed": found.missed,
            "KiB each": found.per_socket / 1024,
        }


def _with_workers(service: Service, program: Any, tokens: list[str]) -> Iterator[dict[str, Any]]:
    """`web` with so many workers on this machine's cores."""
    asked = [
        http("GET", f"/queue/status/{catalogue.LARGE}", Authorization=f"Bearer {tokens[n]}") for n in range(len(tokens))
    ]
    for count in WORKERS:
        catalogue.reset(service.database_url, service.redis_url)
        with service.running("web", workers=count) as port:
            run = partial(load.run, program, port=port, connections=32, seconds=2, warm_up=0.5)
            bought = [_reserve(tokens, catalogue.LARGE, n, catalogue.seat("large", n)) for n in range(1, 20_001)]
            yield {
                "workers": count,
                "lists per s": round(run(requests=[http("GET", "/events")]).per_second),
                "statuses per s": round(run(requests=asked).per_second),
                "reserve per s": round(run(requests=bought, once=True).per_second),
                "MB in all": sum(service.memory("web")) / 1e6,
            }


def _reserve(tokens: list[str], event: str, n: int, seat: str) -> bytes:
    body = {"eventId": event, "seatIds": [seat]}
    return http("POST", "/seats/reserve", body=body, Authorization=f"Bearer {tokens[n % len(tokens)]}")


def _with_people(service: Service) -> Iterator[dict[str, Any]]:
    from queueing import services, store
    from queueing.states import Visitor

    client = redis.Redis.from_url(service.redis_url)
    event = UUID(catalogue.HALL)
    for count in PEOPLE:
        services.clear_queue(event_id=event)
        services.check_in(event_id=event, visitor=Visitor(UUID(catalogue.user(0))))
        before = client.info("memory")["used_memory"]
        seconds, us = client.time()
        now = seconds * 1_000_000 + us
        keys = store.keys_of(event)
        people = [catalogue.named(f"person-{n}") for n in range(count)]
        for first in range(0, count, 10_000):
            some = people[first : first + 10_000]
            client.zadd(keys["queue_key"], {user: now + first + n for n, user in enumerate(some)})
            client.zadd(keys["queue_seen_key"], dict.fromkeys(some, now + 600_000_000))
        memory = client.info("memory")["used_memory"] - before
        somebody = [Visitor(UUID(people[n * count // 500])) for n in range(500)]
        status = _script_us(client, [partial(services.get_status, event_id=event, visitor=one) for one in somebody])
        late = [Visitor(UUID(catalogue.named(f"late-{time.monotonic_ns()}-{n}"))) for n in range(500)]
        joined = _script_us(client, [partial(services.check_in, event_id=event, visitor=one) for one in late])
        # The last ones, since those of the front go inside with each tick.
        followed = _script_us(client, [partial(services.get_positions, event_id=event, users=people[-500:])])
        tick = _script_us(client, [partial(store.admit, event)])
        yield {
            "people": count,
            "status, us of Redis": status,
            "join, us of Redis": joined,
            "500 followed, us": followed,
            "tick, us": tick,
            "bytes each": memory / count,
        }
    services.clear_queue(event_id=event)


def _script_us(client: Any, actions: Sequence[Callable[[], object]]) -> float:
    """Redis' own time for each script that the actions run, in us."""
    actions[0]()  # Redis may not know the script yet
    client.config_resetstat()
    for action in actions:
        action()
    used = client.info("commandstats")["cmdstat_evalsha"]
    return float(used["usec"]) / float(used["calls"])


if __name__ == "__main__":
    main()
