"""Engine.IO, the transport of Socket.IO: bounded on the way out, validated on the way in.

engineio puts each packet into a queue without a bound, and has a task for each client that takes it out again. Here a packet
goes straight to the server's `send`, as a frame of a plain WebSocket does (`kernel.realtime.writer`). The queue is left to
polling, to the time of an upgrade, and to the protocol itself. See docs/adr/0015.
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
from kernel.realtime.close_codes import INVALID_PAYLOAD, MESSAGE_TOO_BIG, POLICY_VIOLATION, TOO_SLOW
from kernel.realtime.consumers import close_or_abort
from kernel.realtime.publications import TextFrame
from kernel.realtime.quotas import MAX_FRAME_BYTES, ConnectionQuota
from kernel.realtime.writer import MAX_BUFFERED, ConnectionWriter

CONNECT_SECONDS = 10.0  # a connection that has joined no namespace for so long is dropped
UNUSED_SECONDS = 2.0  # and one that has left all of its namespaces, or was refused by them
# Messages, and what an upgrade and the heartbeat need. No binary packets, no acknowledgements: the server asks for none.
VALID_PACKET = re.compile(r"4[012].*|[1356]|[23](?:probe)?", re.DOTALL)
SEPARATOR = "\x1e"  # between the packets of a polling request

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class MessagePacket:
    """A message as a packet for polling and as a frame for WebSocket. Shared by all clients: never change it."""

    __slots__ = ("frame", "packet")

    def __init__(self, text: str) -> None:
        self.packet = Packet(MESSAGE, text)
        self.frame = TextFrame(self.packet.encode())


class PacketQueue(asyncio.Queue[Packet | None]):
    """engineio's queue of a client, with its size."""

    def __init__(self) -> None:
        super().__init__()
        self.characters = 0
        self.unsent = 0  # packets in the queue, or taken from it and perhaps not yet sent

    def _put(self, item: Packet | None) -> None:
        super()._put(item)
        self.unsent += 1
        self.characters += len(item.encode()) if item is not None else 0

    def _get(self) -> Packet | None:
        item: Packet | None = super()._get()
        self.characters -= len(item.encode()) if item is not None else 0
        return item

    def task_done(self) -> None:
        super().task_done()
        self.unsent -= 1

    def clear(self) -> None:
        while not self.empty():
            self.get_nowait()
            self.task_done()


class EngineConnection:
    """An Engine.IO connection, whatever its transport."""

    def __init__(self, server: "EngineServer", eio_sid: str, environ: dict[str, Any]) -> None:
        self.quota = ConnectionQuota(environ["asgi.scope"])
        self.receive_lock = asyncio.Lock()  # the packets of a polling client could overtake each other
        self.is_closed = False
        self.websocket: EngineWebSocket | None = None
        self.namespaces = 0  # how many it has joined
        self._eio = server.sockets[eio_sid]
        self._queue: PacketQueue = self._eio.queue
        self._closing: asyncio.Task[None] | None = None
        self.drop_if_unused_after(CONNECT_SECONDS)

    @property
    def is_dropped(self) -> bool:
        """Closed from this side, with a code."""
        return self._closing is not None

    def send(self, packet: MessagePacket) -> None:
        """Returns at once; does nothing when closed."""
        if self.is_closed:
            return
        # The queue first has to be empty and sent, so that nothing is overtaken.
        if self.websocket is not None and self._eio.upgraded and not self._queue.unsent:
            self.websocket.writer.write(packet.frame)
            return
        self._queue.put_nowait(packet.packet)
        if self._queue.characters > MAX_BUFFERED:
            self._queue.clear()
            self.drop(TOO_SLOW, "too slow")

    def end_poll(self) -> None:
        # engineio would let a client that says goodbye wait until its last poll times out.
        self._queue.put_nowait(Packet(NOOP))

    def drop(self, code: int, reason: str) -> None:
        """Closes the connection from this side; a Socket.IO client reconnects by itself. Returns at once."""
        if self._closing is not None:
            return
        self.quota.record_close(code, reason)
        if code == TOO_SLOW and self.websocket is None:  # a writer counts its own
            metrics.websocket_slow_clients.labels(outcome="closed").inc()
        self.is_closed = True
        self._closing = asyncio.create_task(self._close(code, reason))

    async def _close(self, code: int, reason: str) -> None:
        await self._eio.close(wait=False, abort=self.websocket is not None, reason=reason)
        if self.websocket is not None:
            await self.websocket.close_with(code, reason)

    def drop_if_unused_after(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._drop_if_unused)

    def _drop_if_unused(self) -> None:
        if not self.namespaces and not self.is_closed:
            self.drop(POLICY_VIOLATION, "no namespace")


class EngineWebSocket:
    """The WebSocket that engineio sends to and receives from. Sending never waits."""

    writer: ConnectionWriter

    def __init__(self, handler: Callable[["EngineWebSocket"], Awaitable[None]], server: "EngineServer") -> None:
        self._handler = handler
        self._eio = handler.__self__  # type: ignore[attr-defined]  # engineio's socket
        self._connection = server.connections[self._eio.sid]
        self._is_closed = False

    async def __call__(self, environ: dict[str, Any]) -> str:
        self._receive, self._send = environ["asgi.receive"], environ["asgi.send"]
        self.writer = ConnectionWriter(self._send, self._connection.drop)
        await self._send({"type": "websocket.accept"})
        if self._connection.websocket is not None:  # one is enough
            await self.close()
            return ""
        self._connection.websocket = self
        try:
            await self._handler(self)
        finally:
            self.writer.close()
            self._connection.websocket = None
            if not self._eio.upgraded:
                # The upgrade has failed half-way: polls would get empty responses forever.
                self._eio.upgrading = False
        return ""

    async def wait(self) -> str:
        """The next packet. Raises OSError when the connection is closed or the packet is refused."""
        event = await self._receive()
        if event["type"] != "websocket.receive":
            raise OSError
        packet = event.get("text")
        if not self._connection.quota.allow_frame():
            self._connection.drop(POLICY_VIOLATION, "too many messages")
        elif packet is None or not VALID_PACKET.fullmatch(packet):
            self._connection.drop(INVALID_PAYLOAD, "not Socket.IO")
        elif len(packet.encode()) > MAX_FRAME_BYTES:
            self._connection.drop(MESSAGE_TOO_BIG, "packet too big")
        else:
            return str(packet)
        raise OSError

    async def send(self, text: str) -> None:
        self.writer.write(TextFrame(text))

    async def close(self) -> None:
        await self.close_with(1000, "")

    async def close_with(self, code: int, reason: str) -> None:
        """A second call has no effect."""
        if self._is_closed:
            return
        self._is_closed = True
        self.writer.close()
        closing = self._send({"type": "websocket.close", "code": code, "reason": reason})
        await close_or_abort(self._send, closing, is_slow=code == TOO_SLOW)


class EngineServer(engineio.AsyncServer):  # type: ignore[misc]  # engineio has no types
    """engineio's server with connections that have quotas. An ASGI application."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.connections: dict[str, EngineConnection] = {}
        self._async = dict(asgi._async, websocket=EngineWebSocket)

    def create_queue(self, *args: Any, **kwargs: Any) -> PacketQueue:  # noqa: ARG002 - engineio's signature
        return PacketQueue()

    def _log_error_once(self, message: str, message_key: str) -> None:
        pass  # a malformed request is an error of the client, not of the server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            body = await self._read_packets(scope, receive)
            if body is None:
                await asgi.make_response("400 BAD REQUEST", [], b"", {"asgi.scope": scope, "asgi.send": send})
                return
            receive = _replay(body, receive)
        await self.handle_request(scope, receive, send)

    async def _read_packets(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body of a polling request. None if its packets are refused; then its connection is dropped, too."""
        body = await _read_body(receive)
        if body is None:
            return None
        sid = parse_qs(scope["query_string"].decode("latin-1")).get("sid", [""])[0]
        connection = self.connections.get(sid)
        if connection is None:
            return body  # engineio responds to an unknown sid
        packets = body.decode(errors="replace").split(SEPARATOR)
        if len(body) > MAX_FRAME_BYTES:
            connection.drop(MESSAGE_TOO_BIG, "packet too big")
        elif not all(connection.quota.allow_frame() for _ in packets):
            connection.drop(POLICY_VIOLATION, "too many messages")
        elif len(packets) > Payload.max_decode_packets or not all(map(VALID_PACKET.fullmatch, packets)):
            connection.drop(INVALID_PAYLOAD, "not Socket.IO")
        else:
            return body
        return None


async def _read_body(receive: Receive) -> bytes | None:
    """Of a body that is too big only the beginning. None if the client is gone."""
    body, has_more = b"", True
    while has_more and len(body) <= MAX_FRAME_BYTES:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        has_more = message.get("more_body", False)
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that first returns a body which was read already."""
    is_replayed = False

    async def replay() -> dict[str, Any]:
        nonlocal is_replayed
        if is_replayed:
            return await receive()
        is_replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
