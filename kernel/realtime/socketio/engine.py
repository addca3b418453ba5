"""Engine.IO, the transport of Socket.IO: what goes out is bounded, what comes in is looked at first.

engineio puts each packet into a queue without a bound, and has a task for each client that takes it out again. Here a packet
goes the way of a raw socket's frame, straight to the server's `send` (`kernel.realtime.writer.Outbox`); the queue is left to
polling, to what is said during an upgrade, and to the protocol itself. See docs/adr/0015.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import engineio
from engineio.async_drivers import asgi
from engineio.packet import MESSAGE, NOOP, Packet
from engineio.payload import Payload

from kernel.realtime import metrics
from kernel.realtime.consumers import FLOOD, TOO_BIG, end
from kernel.realtime.publications import SendText
from kernel.realtime.quotas import MAX_FRAME, Guest
from kernel.realtime.writer import MAX_BUFFERED, TOO_SLOW, Outbox

EMPTY_SECONDS = 10.0  # a connection that has come into no namespace for so long is closed
LEFT_SECONDS = 2.0  # and one that has left all of them, or was refused
# Messages, and what an upgrade and the heartbeat need. No binary packets, no acknowledgements: we ask for none.
KNOWN_PACKET = re.compile(r"4[012].*|[1356]|[23](?:probe)?", re.ASCII | re.DOTALL)
RUBBISH = 1007
SEPARATOR = "\x1e"  # between the packets of a polling request

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Frame:
    """A message, for polling and as the ASGI event that sends it. Shared: never change it."""

    __slots__ = ("event", "packet")

    def __init__(self, text: str) -> None:
        self.packet = Packet(MESSAGE, text)
        self.event = SendText(self.packet.encode())


class Waiting(asyncio.Queue[Packet | None]):
    """engineio's queue of one client."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0  # characters
        self.untaken = 0  # packets that are here, or taken but perhaps not yet sent

    def _put(self, item: Packet | None) -> None:
        super()._put(item)
        self.untaken += 1
        self.size += len(item.encode()) if item is not None else 0

    def _get(self) -> Packet | None:
        item: Packet | None = super()._get()
        self.size -= len(item.encode()) if item is not None else 0
        return item

    def task_done(self) -> None:
        super().task_done()
        self.untaken -= 1

    def clear(self) -> None:
        while not self.empty():
            self.get_nowait()
            self.task_done()


class Connection:
    """An Engine.IO connection, whatever its transport."""

    def __init__(self, server: "EngineServer", eio_sid: str, environ: dict[str, Any]) -> None:
        self.guest = Guest(environ["asgi.scope"])
        self.one_at_a_time = asyncio.Lock()  # packets of a client that polls could overtake each other
        self.is_closed = False
        self.socket: WebSocket | None = None
        self.clients = 0  # namespaces it is in
        self._eio = server.sockets[eio_sid]
        self._waiting: Waiting = self._eio.queue
        self._ending: asyncio.Task[None] | None = None
        self.close_if_empty_in(EMPTY_SECONDS)

    def say(self, frame: Frame) -> None:
        """Returns at once. To a closed connection nothing is said."""
        if self.is_closed:
            return
        if self.socket is not None and self._eio.upgraded and not self._waiting.untaken:
            self.socket.outbox.say(frame.event)
        else:
            self._waiting.put_nowait(frame.packet)
            if self._waiting.size > MAX_BUFFERED:
                self._waiting.clear()
                self.drop(TOO_SLOW, "too slow")

    def end_poll(self) -> None:
        """engineio would let a client that has gone wait for the end of its last poll."""
        self._waiting.put_nowait(Packet(NOOP))

    def drop(self, code: int, reason: str) -> None:
        """Closes the connection from our side; a client of Socket.IO comes back by itself. Returns at once."""
        if self._ending is not None:
            return
        self.guest.is_sent_away(code, reason)
        if code == TOO_SLOW and self.socket is None:  # an outbox counts its own
            metrics.websocket_slow_clients.labels(outcome="closed").inc()
        self.is_closed = True
        self._ending = asyncio.create_task(self._end(code, reason))

    async def _end(self, code: int, reason: str) -> None:
        await self._eio.close(wait=False, abort=self.socket is not None, reason=reason)
        if self.socket is not None:
            await self.socket.end(code, reason)

    def close_if_empty_in(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._close_if_empty)

    def _close_if_empty(self) -> None:
        if not self.clients and not self.is_closed:
            self.drop(FLOOD, "no namespace")


class WebSocket:
    """What engineio sends to and receives from. Sending never waits."""

    outbox: Outbox

    def __init__(self, handler: Callable[["WebSocket"], Awaitable[None]], server: "EngineServer") -> None:
        self._handler = handler
        self._eio = handler.__self__  # type: ignore[attr-defined]  # engineio's socket
        self._connection = server.connections[self._eio.sid]
        self._is_ended = False

    async def __call__(self, environ: dict[str, Any]) -> str:
        self._receive, self._send = environ["asgi.receive"], environ["asgi.send"]
        self.outbox = Outbox(self._send, self._connection.drop)
        await self._send({"type": "websocket.accept"})
        if self._connection.socket is not None:  # one is enough
            await self.close()
            return ""
        self._connection.socket = self
        try:
            await self._handler(self)
        finally:
            self.outbox.stop()
            self._connection.socket = None
            if not self._eio.upgraded:
                self._eio.upgrading = False  # else an upgrade that failed half-way would answer all polls with nothing
        return ""

    async def wait(self) -> str:
        """The next packet. Raises OSError when there is none."""
        event = await self._receive()
        if event["type"] != "websocket.receive":
            raise OSError
        packet = event.get("text")
        if not self._connection.guest.may_speak():
            self._connection.drop(FLOOD, "too many messages")
        elif packet is None or not KNOWN_PACKET.fullmatch(packet):
            self._connection.drop(RUBBISH, "not Socket.IO")
        elif len(packet.encode()) > MAX_FRAME:
            self._connection.drop(TOO_BIG, "packet too big")
        else:
            return str(packet)
        raise OSError

    async def send(self, text: str) -> None:
        self.outbox.say(SendText(text))

    async def close(self) -> None:
        await self.end(1000, "")

    async def end(self, code: int, reason: str) -> None:
        """Twice is the same as once."""
        if self._is_ended:
            return
        self._is_ended = True
        self.outbox.stop()
        closing = self._send({"type": "websocket.close", "code": code, "reason": reason})
        await end(self._send, closing, is_slow=code == TOO_SLOW)


class EngineServer(engineio.AsyncServer):  # type: ignore[misc]  # engineio has no types
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.connections: dict[str, Connection] = {}
        self._async = dict(asgi._async, websocket=WebSocket)

    def create_queue(self, *args: Any, **kwargs: Any) -> Waiting:  # noqa: ARG002 - engineio's signature
        return Waiting()

    def _log_error_once(self, message: str, message_key: str) -> None:
        """A client that makes no sense is no error of ours."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] == "http" and scope["method"] == "POST":
            received = await self._receive_packets(scope, receive)
            if received is None:
                await asgi.make_response("400 BAD REQUEST", [], b"", {"asgi.scope": scope, "asgi.send": send})
                return
            receive = _again(received, receive)
        await self.handle_request(scope, receive, send)

    async def _receive_packets(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body of a request with packets; None if it is none that we take, and then its connection is closed."""
        body, is_more = b"", True
        while is_more:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            is_more = message.get("more_body", False)
            if len(body) > MAX_FRAME:
                break
        sid = parse_qs(scope["query_string"].decode("latin-1")).get("sid", [""])[0]
        connection = self.connections.get(sid)
        if connection is None:
            return body  # engineio says so
        packets = body.decode(errors="replace").split(SEPARATOR)
        if len(body) > MAX_FRAME:
            connection.drop(TOO_BIG, "packet too big")
        elif not all(connection.guest.may_speak() for _ in packets):
            connection.drop(FLOOD, "too many messages")
        elif len(packets) > Payload.max_decode_packets or not all(map(KNOWN_PACKET.fullmatch, packets)):
            connection.drop(RUBBISH, "not Socket.IO")
        else:
            return body
        return None


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body which has been read already."""
    given = False

    async def give() -> dict[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return give
