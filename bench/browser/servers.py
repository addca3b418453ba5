"""What the page needs: static files, a seat map, and a socket that changes it. No service is measured here."""

import json
import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.protocol import State
from websockets.sync.server import ServerConnection, serve

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
STATIC = {"/static/seats/": ROOT / "seats/static/seats", "/static/shop/": ROOT / "shop/static/shop"}
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}
PRICES = (198_000, 165_000, 132_000, 110_000, 88_000)


def seat_map(*, seats: int, taken: float = 0.3) -> dict[str, Any]:
    """A hall as `GET /seats/events/:id` shows it: sections of 1,000 seats in five price classes."""
    generator = random.Random(7)
    count = seats // 1_000
    per_price = max(1, count // len(PRICES))
    sections: list[dict[str, Any]] = [
        {
            "name": f"{'ABCDE'[number // per_price % 5]}{number % per_price + 1}", "rows": 25, "seatsPerRow": 40,
            "price": PRICES[number // per_price % 5], "startRow": 1 + 25 * (number // per_price), "aisles": [10, 30],
        }
        for number in range(count)
    ]  # fmt: skip
    rows = [
        {
            "id": str(uuid.UUID(int=generator.getrandbits(128), version=4)), "section": section["name"], "row_number": row,
            "seat_number": number, "seat_label": f"{section['name']}-{row}-{number}", "price": section["price"],
            "status": "sold" if generator.random() < taken else "available",
        }
        for section in sections
        for row in range(section["startRow"], section["startRow"] + section["rows"])
        for number in range(1, section["seatsPerRow"] + 1)
    ]  # fmt: skip
    return {"event": {"id": "event", "title": "Seat map"}, "layout": {"sections": sections}, "seats": rows}


class Changes:
    """A socket that says hello, and then, while it `is_on`, changes a seat so many times a second."""

    def __init__(self, seats: list[dict[str, Any]], per_second: int) -> None:
        self.seats = seats
        self.pause = 1 / per_second
        self.is_on = threading.Event()

    def __call__(self, connection: ServerConnection) -> None:
        generator, version = random.Random(11), 1
        connection.send(json.dumps({"type": "hello", "eventId": "event", "version": version}))
        while not self.is_on.wait(0.1):
            if connection.state is not State.OPEN:
                return
        due = time.monotonic()
        try:
            while self.is_on.is_set():
                version += 1
                connection.send(json.dumps(self._change(generator, version)))
                due += self.pause
                time.sleep(max(0.0, due - time.monotonic()))
        except ConnectionClosed:
            return

    def _change(self, generator: random.Random, version: int) -> dict[str, Any]:
        seat = generator.choice(self.seats)
        seat["status"] = "locked" if seat["status"] == "available" else "available"
        kind = "seat-locked" if seat["status"] == "locked" else "seat-released"
        moment = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        found = {"type": kind, "eventId": "event", "seatId": seat["id"], "status": seat["status"], "version": version}
        return found | {"timestamp": moment}


@contextmanager
def serving(data: dict[str, Any], changes: Changes) -> Iterator[tuple[str, str]]:
    """The addresses of the page and of the socket."""
    answer = json.dumps(data).encode()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith("/seats/events/"):
                self._respond(answer, "application/json", {"Seat-Map-Version": "1"})
                return
            folder = next((prefix for prefix in STATIC if path.startswith(prefix)), None)
            file = STATIC[folder] / path.removeprefix(folder) if folder else HERE / (path.strip("/") or "page.html")
            if file.is_file():
                self._respond(file.read_bytes(), TYPES.get(file.suffix, "text/plain"), {})
            else:
                self.send_error(404)

        def _respond(self, body: bytes, kind: str, headers: dict[str, str]) -> None:
            self.send_response(200)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as pages, serve(changes, "127.0.0.1", 0) as sockets:
        for server in (pages, sockets):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{pages.server_port}", f"ws://127.0.0.1:{sockets.socket.getsockname()[1]}"
        changes.is_on.clear()
        sockets.shutdown()
        pages.shutdown()
