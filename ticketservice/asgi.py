"""The ASGI application of `realtime`: WebSockets and Socket.IO. With `runserver` it also serves HTTP."""

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
from kernel.realtime import consumers  # noqa: E402 - these need Django to be set up
from queueing.consumers import QueueConsumer  # noqa: E402
from seats.consumers import SeatConsumer  # noqa: E402
from shop.sockets import CookieSocket  # noqa: E402

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def lifespan(scope: dict[str, Any], receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
    """Handle startup and shutdown. Startup installs the handler that drains connections on SIGTERM and Ctrl-C."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            for number in (signal.SIGTERM, signal.SIGINT):
                _drain_on_signal(asyncio.get_running_loop(), number, signal.getsignal(number))
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def drain() -> None:
    """Close all connections with a code that tells clients when to reconnect. The server would only cut them off."""
    await consumers.drain()
    await socketio.drain()


def _drain_on_signal(loop: asyncio.AbstractEventLoop, number: int, stop: Any) -> None:
    """On the signal drain, then call the server's own handler `stop`. A second one calls it at once."""
    if not callable(stop):
        return
    draining: list[asyncio.Task[None]] = []

    def terminate() -> None:
        if draining:
            stop(number, None)
            return
        draining.append(loop.create_task(drain()))
        draining[0].add_done_callback(lambda _: stop(number, None))

    loop.add_signal_handler(number, terminate)


async def http_or_polling(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["path"].rstrip("/") == "/socket.io":
        _set_request_id(scope)
        await socketio(scope, receive, send)
    else:
        await http(scope, receive, send)  # type: ignore[arg-type]  # Django's stubs want a Mapping


SOCKETS: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile("/ws/seats/([^/]+)/?"), SeatConsumer),
    (re.compile("/ws/queue/([^/]+)/?"), QueueConsumer),
    (re.compile(r"/(socket\.io)/?"), lambda _: socketio),
)
if settings.SHOP_ENABLED:
    SOCKETS += ((re.compile("/shop/ws/queue/([^/]+)/?"), lambda event_id: CookieSocket(QueueConsumer(event_id))),)


def _set_request_id(scope: dict[str, Any]) -> None:
    """Use the connection's X-Request-Id for its log lines."""
    # The server runs each connection in a context of its own, so this does not affect others.
    header = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    current_request_id.set(accept_request_id(header.decode("latin-1")))


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Dispatch a connection by its type and path."""
    # Not by Channels' routers: each of them keeps a copy of the scope for every socket.
    if scope["type"] == "websocket":
        _set_request_id(scope)
        for path, consumer in SOCKETS:
            if match := path.fullmatch(scope["path"]):
                await consumer(match[1])(scope, receive, send)
                return
        await send({"type": "websocket.close"})
    elif scope["type"] == "http":
        await http_or_polling(scope, receive, send)
    else:
        await lifespan(scope, receive, send)
