"""Engine.IO, the transport of Socket.IO: bounded on the way out, validated on the way in.

engineio puts each packet into a queue without a bound, and has a task for each client that takes it out again. Here a packet
goes straight to the server's `send`, as a frame of a plain WebSocket does (`kernel.realtime.writer`). The queue is left to
polling, to the time of an upgrade, and to the protocol itself. See docs/adr/0015.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import engineio
from engineio.async_drivers import asgi
from engineio.async_socket import AsyncSocket
from engineio.packet import MESSAGE, NOOP, Packet
from engineio.payload import Payload

from kernel.realtime import metrics
from kernel.realtime.channel import TextFrame
from kernel.realtime.close_codes import INVALID_PAYLOAD, MESSAGE_TOO_BIG, POLICY_VIOLATION, TOO_SLOW
from kernel.realtime.consumers import close_or_abort
from kernel.realtime.quotas import MAX_FRAME_BYTES, ConnectionQuota
from kernel.realtime.writer import MAX_BUFFERED, ConnectionWriter

CONNECT_SECONDS = 10.0  # a connection that has joined no namespace for so long is dropped
UNUSED_SECONDS = 2.0  # and one that has left all of its namespaces, or was refused by them
# Messages, and what an upgrade and the heartbeat need. No binary packets, no acknowledgements: the server asks for none.
VALID_PACKET = re.compile(r"4[012].*|[1356]|[23](?:probe)?", re.DOTALL)
# By polling a client neither pings nor upgrades: engineio would wait until the client has read all that it was sent.
POLLING_PACKET = re.compile(r"4[012].*|[13]", re.DOTALL)
BODY_SECONDS = 10.0  # for which the body of a polling request is waited for
MAX_QUEUED = 2048  # packets that a client has not fetched; MAX_BUFFERED is in characters
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
    """engineio's queue of a client, with its size. `on_overflow` is called when it is too big."""

    def __init__(self) -> None:
        super().__init__()
        self.characters = 0
        self.unsent = 0  # packets in the queue, or taken from it and perhaps not yet sent
        self.on_overflow: Callable[[], None] = self.clear

    def put_nowait(self, item: Packet | None) -> None:
        super().put_nowait(item)
        if self.characters > MAX_BUFFERED or self.qsize() >= MAX_QUEUED:
            self.on_overflow()

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
        self.poll: object | None = None  # the poll that waits for packets
        self.ping: asyncio.Task[None] | None = None  # sleeps until the next one is due
        self._eio = server.sockets[eio_sid]
        self._queue: PacketQueue = self._eio.queue
        self._queue.on_overflow = self._drop_slow_client
        self._closing: asyncio.Task[None] | None = None
        self._unused_timer: asyncio.TimerHandle | None = None
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

    def _drop_slow_client(self) -> None:
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

    def on_end(self) -> None:
        """Called when the connection is gone: what would keep it in memory is cancelled."""
        self.is_closed = True
        self.quota.release()
        self._queue.on_overflow = self._queue.clear  # engineio may hold the queue for some seconds more
        self._cancel_timer()
        if self.ping is not None:
            self.ping.cancel()

    def drop_if_unused_after(self, seconds: float) -> None:
        self._cancel_timer()
        if not self.is_closed:
            self._unused_timer = asyncio.get_running_loop().call_later(seconds, self._drop_if_unused)

    def _cancel_timer(self) -> None:
        if self._unused_timer is not None:
            self._unused_timer.cancel()

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

    def start_background_task(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> asyncio.Task[Any] | None:
        """engineio's, but the next ping of a session ends with it."""
        socket = getattr(target, "__self__", None)
        if not isinstance(socket, AsyncSocket):
            task: asyncio.Task[Any] = super().start_background_task(target, *args, **kwargs)
            return task
        connection = self.connections.get(socket.sid)
        if connection is not None:
            connection.ping = super().start_background_task(target, *args, **kwargs)
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        # engineio would believe what the request says of its transport, and answer it as if it were that.
        is_websocket = scope["type"] == "websocket"
        if is_websocket != (query.get("transport", [""])[0] == "websocket"):
            await _refuse(scope, send)
            return
        if is_websocket:
            await self.handle_request(scope, receive, send)
            return
        scope = _with_headers(scope, without=(b"upgrade",))
        connection = self.connections.get(query.get("sid", [""])[0])
        if scope["method"] == "POST":
            await self._take_packets(connection, scope, receive, send)
        elif scope["method"] == "GET" and connection is not None:
            await self._poll(connection, scope, receive, send)
        else:
            await self.handle_request(scope, receive, send)

    async def _take_packets(
        self, connection: EngineConnection | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        body = await _read_body(receive)
        if body is None or connection is None or not _accepts(connection, body):
            await _refuse(scope, send)
            return
        # Of a body that comes in chunks engineio would read nothing.
        scope = _with_headers(scope, without=(b"content-length",), more=[(b"content-length", b"%d" % len(body))])
        await self.handle_request(scope, _replay(body, receive), send)

    async def _poll(self, connection: EngineConnection, scope: Scope, receive: Receive, send: Send) -> None:
        """One at a time, as with Engine.IO's own server: two would take packets from each other, many would take memory."""
        if connection.poll is not None:
            connection.drop(POLICY_VIOLATION, "overlapping polls")
            await _refuse(scope, send)
            return
        poll = connection.poll = object()

        def end() -> None:
            if connection.poll is poll:
                connection.poll = None

        async def respond(event: dict[str, Any]) -> None:
            end()  # first: with the response in its hands the client may poll again
            await send(event)

        try:
            await self.handle_request(scope, receive, respond)
        finally:
            end()


def _accepts(connection: EngineConnection, body: bytes) -> bool:
    """Whether the packets of a polling request are taken; else the connection is dropped, unless it is closed already."""
    try:
        packets = body.decode().split(SEPARATOR)
    except UnicodeDecodeError:
        packets = [""]
    if connection.is_closed:
        pass
    elif len(body) > MAX_FRAME_BYTES:
        connection.drop(MESSAGE_TOO_BIG, "packet too big")
    elif not all(connection.quota.allow_frame() for _ in packets):
        connection.drop(POLICY_VIOLATION, "too many messages")
    elif len(packets) > Payload.max_decode_packets or not all(map(POLLING_PACKET.fullmatch, packets)):
        connection.drop(INVALID_PAYLOAD, "not Socket.IO")
    else:
        return True
    return False


async def _refuse(scope: Scope, send: Send) -> None:
    await asgi.make_response("400 BAD REQUEST", [], b"", {"asgi.scope": scope, "asgi.send": send})


def _with_headers(scope: Scope, *, without: tuple[bytes, ...], more: Iterable[tuple[bytes, bytes]] = ()) -> Scope:
    return {**scope, "headers": [header for header in scope["headers"] if header[0] not in without] + list(more)}


async def _read_body(receive: Receive) -> bytes | None:
    """Of a body that is too big only the beginning. None if the client is gone or does not send it."""
    body, has_more = b"", True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while has_more and len(body) <= MAX_FRAME_BYTES:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                body += message.get("body", b"")
                has_more = message.get("more_body", False)
    except TimeoutError:
        return None
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
