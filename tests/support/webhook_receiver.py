"""A receiver of webhooks that verifies them with the specification's own library, and misbehaves as told."""

import json
import os
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.tools import WEBHOOKS_MODULES, WEBHOOKS_SOURCES

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cywgMzIgYnl0ZXMh"

Behaviour = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Received:
    id: str
    headers: dict[str, str]
    raw: str
    at: float

    @property
    def message(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.raw)
        return parsed

    @property
    def subject(self) -> str:
        data = self.message["data"]
        return data.get("reservationId") or data["eventId"]


@dataclass
class Receiver:
    """`accepted` are the webhooks that were answered with 200, in the order in which they came; `tries` all of them."""

    secret: str = SECRET
    port: int = 0
    accepted: list[Received] = field(default_factory=list)
    tries: list[Received] = field(default_factory=list)
    forged: list[str] = field(default_factory=list)
    # What it does instead of answering 200, for the n-th request (from 0); None: nothing.
    misbehave: Callable[[int], Behaviour | None] = lambda _: None
    # For how many seconds the n-th request waits for its 200: those of one moment are answered out of order.
    delay: Callable[[int], float] = lambda _: 0.0
    redirected: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _server: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def by_subject(self) -> dict[str, list[str]]:
        """The types of accepted messages by subject, without repetitions, in the order in which they came first."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for one in self.accepted:
            found[one.subject].setdefault(one.id, one.message["type"])
        return {subject: list(types.values()) for subject, types in found.items()}

    def ids(self) -> set[str]:
        return {one.id for one in self.accepted}

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # a redirect that was followed
                receiver.redirected += 1
                self.send_response(200)
                self.end_headers()

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
                if self.path != "/hook":
                    receiver.redirected += 1
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                one = Received(headers["webhook-id"], headers, raw, time.monotonic())
                with receiver._lock:
                    number = len(receiver.tries)
                    receiver.tries.append(one)
                    try:
                        Webhook(receiver.secret).verify(raw, headers)
                    except WebhookVerificationError as error:
                        receiver.forged.append(f"{one.id}: {error}")
                if (behaviour := receiver.misbehave(number)) is not None:
                    behaviour(self)
                    return
                with receiver._lock:
                    receiver.accepted.append(one)
                time.sleep(receiver.delay(number))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *arguments: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 256

            def handle_error(self, *arguments: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def die(self) -> None:
        """Nobody listens any more; `start` lets it live again, at the same port."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    receiver.start()
    try:
        yield receiver
    finally:
        with suppress(OSError):
            receiver.die()


def verified_by_node(received: list[Received], secret: str, directory: Path) -> dict[str, int]:
    """What the specification's library in JavaScript says: {verified, refused, forgedRefused}."""
    file = directory / "received.json"
    file.write_text(json.dumps([{"raw": one.raw, "headers": one.headers} for one in received]))
    done = subprocess.run(
        ["node", str(WEBHOOKS_SOURCES / "verify.cjs"), secret, str(file)],
        capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "NODE_PATH": str(WEBHOOKS_MODULES / "node_modules")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said: dict[str, int] = json.loads(done.stdout)
    return said


# --- Behaviours -------------------------------------------------------------------------------------------------------


def status(code: int, **headers: str) -> Behaviour:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def hang(seconds: float) -> Behaviour:
    """Says nothing, for so long."""

    def wait(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return wait


def drip(seconds: float) -> Behaviour:
    """Answers 200, byte by byte, for so long: each piece comes in time, and the whole does not."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        with suppress(OSError):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            for _ in range(int(seconds / 0.1)):
                handler.wfile.write(b"x")
                time.sleep(0.1)

    return answer


def flood(handler: BaseHTTPRequestHandler) -> None:
    """Answers 500, and goes on for 100 MB."""
    handler.close_connection = True
    with suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 500 Oops\r\n\r\n")
        for _ in range(100):
            handler.wfile.write(b"x" * 1_000_000)
