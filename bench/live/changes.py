"""Changes at a given rate: sent to a server that only broadcasts, or made in the service by buyers of seats."""

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from bench import catalogue

BUYERS = 8  # at once
EVENT = catalogue.HALL
Make = Callable[[int], object]


def message(number: int) -> dict[str, Any]:
    """As the service publishes it."""
    return {
        "type": "seat-locked",
        "eventId": EVENT,
        "seatId": catalogue.seat("hall", 1 + number % catalogue.SEATS_OF_HALL),
        "status": "locked",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "version": 1_900_000_000_000 + number,
    }


def make_at(rate: float, seconds: float, make: Make) -> int:
    """Calls `make` evenly, from another thread when one call is slow; returns how many changes there were."""
    count, started, made = round(rate * seconds), time.monotonic(), list[Future[object]]()
    with ThreadPoolExecutor(BUYERS) as threads:
        for number in range(count):
            time.sleep(max(0.0, started + number / rate - time.monotonic()))
            made.append(threads.submit(make, number))
    for one in made:
        one.result()  # raises what went wrong
    return count


@contextmanager
def by_datagram(port: int) -> Iterator[Make]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect(("127.0.0.1", port))
        yield lambda number: out.send(json.dumps(message(number), separators=(",", ":")).encode())


@contextmanager
def by_layer() -> Iterator[Make]:
    from bench.live import plain  # as late as this: it needs REDIS_URL

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield lambda number: asyncio.run_coroutine_threadsafe(plain.broadcast(message(number)), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@contextmanager
def by_buyers(web: int, tokens: list[str]) -> Iterator[Make]:
    """Through `web`: seats are reserved and cancelled in turn. Each is one change of the map."""
    local = threading.local()
    held: list[tuple[str, str]] = []
    free = iter(range(1, 10**9))

    def post(path: str, token: str, body: object) -> Any:
        connection = getattr(local, "connection", None) or http.client.HTTPConnection("127.0.0.1", web, timeout=30)
        local.connection = connection
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        content = json.loads(response.read())
        if response.status not in (200, 201):
            raise RuntimeError(f"{path}: {response.status} {content}")
        return content

    def make(number: int) -> None:
        if number % 2 and held:
            token, reservation = held.pop(0)
            post(f"/reservations/{reservation}/cancel", token, {})
            return
        buyer = next(free)
        seat = catalogue.seat("hall", 1 + buyer % catalogue.SEATS_OF_HALL)
        token = tokens[buyer % len(tokens)]
        made = post("/seats/reserve", token, {"eventId": EVENT, "seatIds": [seat]})
        held.append((token, made["reservation"]["id"]))

    yield make
    while held:
        token, reservation = held.pop()
        post(f"/reservations/{reservation}/cancel", token, {})
