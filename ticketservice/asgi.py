"""`realtime`: WebSockets and Socket.IO, on an ASGI server. `runserver` serves HTTP here, too."""

import asyncio
import os
import re
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIRequest

from kernel.checks import raise_for_invalid_settings
from kernel.observability.multiprocess import share_metrics

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketservice.settings")
share_metrics(settings.METRICS_DIR)  # before Django loads the apps
http = get_asgi_application()
http.request_class = type("Request", (ASGIRequest,), {"urlconf": "ticketservice.realtime_urls"})
raise_for_invalid_settings()

from gateway.socketio import server as socketio  # noqa: E402
from kernel.observability.request_context import accept_request_id, current_request_id  # noqa: E402
from kernel.realtime import consumers  # noqa: E402 - what follows needs Django to be set up
from queueing.consumers import QueueConsumer  # noqa: E402
from seats.consumers import SeatConsumer  # noqa: E402

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def lifespan(scope: dict[str, Any], receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
    """Before the server stops, sockets are sent away with a hint when to come back: it would only cut them off."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            _drain_first(asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM))
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def drain() -> None:
    await consumers.drain()
    await socketio.drain()


def _drain_first(loop: asyncio.AbstractEventLoop, stop: Any) -> None:
    """On SIGTERM: drains, then does what the server would have done. A second signal does it at once."""
    if not callable(stop):
        return
    draining: list[asyncio.Task[None]] = []

    def terminate() -> None:
        if draining:
            stop(signal.SIGTERM, None)
            return
        draining.append(loop.create_task(drain()))
        draining[0].add_done_callback(lambda _: stop(signal.SIGTERM, None))

    loop.add_signal_handler(signal.SIGTERM, terminate)


async def http_or_polling(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["path"].rstrip("/") == "/socket.io":
        _name(scope)
        await socketio(scope, receive, send)
    else:
        await http(scope, receive, send)  # type: ignore[arg-type]  # Django's stubs want a Mapping


SOCKETS: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile("/ws/seats/([^/]+)/?"), SeatConsumer),
    (re.compile("/ws/queue/([^/]+)/?"), QueueConsumer),
    (re.compile(r"/(socket\.io)/?"), lambda _: socketio),
)


def _name(scope: dict[str, Any]) -> None:
    """Gives the log lines of a connection the id with which it came. The server runs each one in a context of its own."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    current_request_id.set(accept_request_id(given.decode("latin-1")))


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Without Channels' routers: each keeps a copy of the scope for every socket."""
    if scope["type"] == "websocket":
        _name(scope)
        for path, consumer in SOCKETS:
            if found := path.fullmatch(scope["path"]):
                await consumer(found[1])(scope, receive, send)
                return
        await send({"type": "websocket.close"})
    elif scope["type"] == "http":
        await http_or_polling(scope, receive, send)
    else:
        await lifespan(scope, receive, send)
