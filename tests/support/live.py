"""What tests use to look at live sockets: the `realtime` process, and clients that note or follow what they hear."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.harness import HALL, Api, running_listener, seat

Message = dict[str, Any]


@dataclass
class Realtime:
    port: int
    log: Path
    process: Any
    _followed: list["RecordingSocket"] = field(default_factory=list)

    def open(self, path: str, **options: Any) -> "RecordingSocket":
        """A socket on this process; its refusals show in `RecordingSocket.code`."""
        heard = RecordingSocket(f"ws://127.0.0.1:{self.port}{path}", **options)
        self._followed.append(heard)
        return heard

    def seats(self, event_id: str, **options: Any) -> "RecordingSocket":
        return self.open(f"/ws/seats/{event_id}", **options)

    def close_all(self) -> None:
        for heard in self._followed:
            heard.close()
        self._followed.clear()

    def close_all_and_read_log(self) -> str:
        """What the process has logged; never a traceback."""
        self.close_all()
        log = self.log.read_text()
        assert "Traceback" not in log, log[-3000:]
        return log


@contextmanager
def running_realtime(log: Path, **environment: str) -> Iterator[Realtime]:
    """The `realtime` process on a free port, ready to answer."""
    with running_listener("realtime", log, "/health/live", **environment) as (api, process):
        realtime = Realtime(api.port, log, process)
        try:
            yield realtime
        finally:
            realtime.close_all()


class RecordingSocket:
    """A socket and all messages that came, batches taken apart; `frames` as they came."""

    def __init__(self, url: str, **options: Any) -> None:
        self._open = ExitStack()
        self.connection: ClientConnection = self._open.enter_context(connect(url, open_timeout=20, **options))
        self.frames: list[Message] = []
        self.messages: list[Message] = []
        self.times: list[float] = []
        self.code: int | None = None
        self.reason = ""
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        try:
            while True:
                frame = self.connection.recv()
                message = json.loads(frame)
                with self._changed:
                    self.frames.append(message)
                    for one in message["messages"] if message["type"] == "batch" else [message]:
                        self.messages.append(one)
                        self.times.append(time.time())
                    self._changed.notify_all()
        except ConnectionClosed:
            pass
        with self._changed:
            self.code, self.reason = self.connection.close_code, self.connection.close_reason or ""
            self._changed.notify_all()

    def of_type(self, *kinds: str) -> list[Message]:
        return [message for message in self.messages if message["type"] in kinds]

    def wait(self, condition: Callable[["RecordingSocket"], Any], seconds: float = 10) -> Any:
        """What `condition` gives once it is true."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), seconds), self.messages[-5:]
            return condition(self)

    def first(self, kind: str, seconds: float = 10) -> Message:
        return self.wait(lambda heard: heard.of_type(kind), seconds)[0]

    def closed_with(self, seconds: float = 10) -> int | None:
        self.wait(lambda heard: heard.code is not None, seconds)
        return self.code

    def send(self, message: Any) -> None:
        self.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def close(self) -> None:
        self._open.close()
        self._thread.join(5)


class Viewer:
    """A client as docs/live.md tells it to be: fetches a snapshot, follows the changes, fetches again after a gap."""

    def __init__(self, api: Api, realtime: Realtime, event_id: str) -> None:
        self.api, self.event_id = api, event_id
        self.heard = realtime.seats(event_id)
        self.heard.first("hello")
        self.fetches = 0
        self._read = 1
        self.fetch()

    def fetch(self) -> None:
        self.fetches += 1
        self.version, self.seats = seat_map(self.api, self.event_id)
        self.stock, self.status = event(self.api, self.event_id)

    def follow(self) -> None:
        """Takes in what has come since the last call."""
        new, self._read = self.heard.messages[self._read :], len(self.heard.messages)
        for message in new:
            match message["type"]:
                case "hello":
                    self.fetch()
                case "ticket-updated":
                    self.stock[message["ticketTypeId"]] = message["availableQuantity"]
                case "event-status-changed":
                    self.status = message["status"]
                case "seat-locked" | "seat-released" | "seat-sold" if message["version"] == self.version + 1:
                    self.seats[message["seatId"]] = message["status"]
                    self.version += 1
                case "seat-locked" | "seat-released" | "seat-sold" if message["version"] > self.version:
                    self.fetch()

    def is_right(self) -> bool:
        """Whether what was replayed is what a snapshot says now."""
        self.follow()
        now = seat_map(self.api, self.event_id)
        return (now, event(self.api, self.event_id)) == ((self.version, self.seats), (self.stock, self.status))


def seat_map(api: Api, event_id: str) -> tuple[int, dict[str, str]]:
    answer = api.get(f"/seats/events/{event_id}", headers={"Accept-Encoding": "identity"})
    seats = {seat["id"]: seat["status"] for seat in answer.json.get("seats", ())}
    return int(answer.headers.get("seat-map-version", 0)), seats


def event(api: Api, event_id: str) -> tuple[dict[str, int], str]:
    answer = api.get(f"/events/{event_id}", headers={"Accept-Encoding": "identity"}).json
    return {kind["id"]: kind["available_quantity"] for kind in answer["ticketTypes"]}, answer["event"]["status"]


def flood(redis, *, frames: int, start: int = 10**13) -> int:
    """Publishes `frames` changes of 4 KB each; returns the last one's version."""
    for number in range(1, frames + 1):
        change = {"type": "seat-locked", "eventId": HALL, "seatId": seat(1, 1), "padding": "x" * 4000}
        redis.publish(f"live:{HALL}", json.dumps({"version": start + number, "messages": [change]}))
    return start + frames
