"""An Auth Service that does as it is told, and one that answers drop by drop."""

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from typing import Any

from tests.support.harness import new_user
from tests.support.http_server import serving_http


class ScriptedAuthService(http.server.BaseHTTPRequestHandler):
    """An Auth Service that does as it is told: `behave` gives status and answer for a token."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(asked["token"])
        status, answer = self.server.behave(asked["token"])
        body = json.dumps(answer).encode() if not isinstance(answer, bytes) else answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def let_in(role: str = "user", user_id: str | None = None) -> Any:
    user = {"userId": user_id or new_user(), "email": "a@example.com", "name": "a", "role": role}
    return lambda _: (200, {"valid": True, "user": user})


@contextmanager
def serving(behave: Any) -> Iterator[http.server.ThreadingHTTPServer]:
    quiet = {"handle_error": lambda *_: None}  # whoever gave up waiting is not there to be answered
    with serving_http(ScriptedAuthService, behave=behave, asked=[], **quiet) as server:
        yield server


@contextmanager
def dripping(head: bytes, *drops: bytes, every: float) -> Iterator[int]:
    """A service on a port of its own that answers `head` at once, then a drop each time, over and over."""
    stopped = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0), backlog=200)

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(head)
            for drop in cycle(drops):
                if stopped.wait(every):
                    return
                connection.sendall(drop)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        stopped.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
