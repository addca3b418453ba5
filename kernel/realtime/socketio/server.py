"""A Socket.IO server on python-socketio whose clients subscribe to the hub: a message is encoded once for all of them."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import orjson
import socketio
from socketio.packet import CONNECT, DISCONNECT, EVENT, Packet

from kernel.concurrency.background import run_in_background
from kernel.realtime import metrics
from kernel.realtime.channel import Message, Publication
from kernel.realtime.close_codes import INVALID_PAYLOAD, SERVICE_RESTART
from kernel.realtime.consumers import CLOSE_SECONDS, is_draining, retry
from kernel.realtime.quotas import MAX_FRAME_BYTES
from kernel.realtime.socketio.engine import (
    UNUSED_SECONDS,
    EngineConnection,
    EngineServer,
    MessagePacket,
    Receive,
    Scope,
    Send,
)

# socketio calls handlers of these names itself: as events of a client they would reach them with the client's arguments.
RESERVED_EVENTS = {"connect", "connect_error", "disconnect", "disconnecting"}

logger = logging.getLogger(__name__)


class NamespaceClient:
    """A connection in one of its namespaces, on the server's side. A subclass defines what it subscribes to."""

    def __init__(self, connection: EngineConnection, namespace: str) -> None:
        self.connection, self.namespace = connection, namespace
        self.sid = ""  # Socket.IO's; known from on_connect on
        self.is_gone = False
        self.disconnect: Callable[[], None] = lambda: (
            None
        )  # from this namespace; the client will not reconnect by itself
        # Packets that have to wait until the client has been told that it is connected; then None.
        self._early: list[MessagePacket] | None = []

    def on_publication(self, publication: Publication) -> None:
        for packet in self._packets(publication):
            if self._early is None:
                self.connection.send(packet)
            else:
                self._early.append(packet)

    def send(self, message: Message) -> None:
        self.on_publication(Publication([message]))

    def drop(self, code: int, reason: str) -> None:
        self.connection.drop(code, reason)

    def send_early(self) -> None:
        """Called when the client has been told that it is connected."""
        early, self._early = self._early or [], None
        for packet in early:
            self.connection.send(packet)

    def _packets(self, publication: Publication) -> list[MessagePacket]:
        """One for each message, encoded once for all clients of a namespace."""
        encoded: list[MessagePacket] | None = publication.packets.get(self.namespace)
        if encoded is None:
            encoded = [_packet(message, self.namespace) for message in self.translate(publication.messages)]
            publication.packets[self.namespace] = encoded
        return encoded

    # For subclasses

    def translate(self, messages: list[Message]) -> list[Message]:
        """What clients of this namespace are sent in place of `messages`: the same for all of them."""
        return messages

    async def on_connect(self, auth: Any) -> None:
        """Raises socketio.exceptions.ConnectionRefusedError with the message for the client."""

    async def on_connected(self) -> None:
        """The client knows that it is connected. Its first event is not handled before this has returned."""

    async def on_event(self, name: str, *args: Any) -> Any:
        """The client has emitted an event. Returns what it gets if it asked for an acknowledgement."""

    async def on_disconnect(self, *, by_client: bool) -> None:
        """The client is gone; `by_client` if it said so itself, else it was lost or dropped."""


def _packet(message: Message, namespace: str) -> MessagePacket:
    body = {name: value for name, value in message.items() if name != "type"}
    text = orjson.dumps([message["type"], body], default=str).decode()
    return MessagePacket(f"{EVENT}{'' if namespace == '/' else f'{namespace},'}{text}")


class RoomlessManager(socketio.AsyncManager):  # type: ignore[misc]  # socketio has no types
    """Clients are in no rooms but their own: the hub has the subscribers."""

    def basic_disconnect(self, sid: str, namespace: str, **kwargs: Any) -> None:  # noqa: ARG002 - socketio's signature
        # socketio's own looks through the rooms of all clients for each one that leaves.
        for room in (None, sid):
            self.basic_leave_room(sid, namespace, room)
        for pending in (self.pending_connect, self.pending_disconnect):
            if sid in pending.get(namespace, ()):
                pending[namespace].remove(sid)
                if not pending[namespace]:
                    del pending[namespace]


class SocketIOServer(socketio.AsyncServer):  # type: ignore[misc]  # socketio has no types
    """An ASGI application. `make_client` returns the client for a namespace, or None if there is no such namespace."""

    def __init__(
        self, make_client: Callable[[EngineConnection, str], NamespaceClient | None], *, origins: list[str] | str
    ) -> None:
        logger.setLevel(logging.ERROR)  # below, the libraries log each packet and each refusal
        super().__init__(
            client_manager=RoomlessManager(),
            async_mode="asgi",
            namespaces="*",
            async_handlers=False,  # the events of a client are handled in order
            max_http_buffer_size=MAX_FRAME_BYTES,
            cors_allowed_origins=origins,
            logger=logger,
            engineio_logger=logger,
        )
        self._make_client = make_client
        self._clients: dict[str, NamespaceClient] = {}  # by Socket.IO's sid
        self.on("connect", self._on_connect, namespace="*")
        self.on("disconnect", self._on_disconnect, namespace="*")
        self.on("*", self._on_event, namespace="*")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.eio(scope, receive, send)

    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer

    # --- Connections --------------------------------------------------------------------------------------------------

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> str | None:
        """Returns the reason if the connection is refused."""
        connection = EngineConnection(self.eio, eio_sid, environ)
        if is_draining() or connection.quota.exceeds_address_limit():
            connection.quota.release()
            connection.is_closed = True
            return "restarting" if is_draining() else "too many connections"
        self.eio.connections[eio_sid] = connection
        metrics.websocket_connections.labels(kind="socketio").inc()
        await super()._handle_eio_connect(eio_sid, {})  # nobody asks for the request, which takes 20 KB
        return None

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        connection = self.eio.connections.pop(eio_sid)
        connection.on_end()
        metrics.websocket_connections.labels(kind="socketio").dec()
        await super()._handle_eio_disconnect(eio_sid, reason)
        if connection.websocket is None:
            connection.end_poll()
        elif not connection.is_dropped:  # else it is about to be closed with a code of its own
            await connection.websocket.close()
        # engineio would keep it for up to 20 s. A poll that waits has it in its hands.
        self.eio.sockets.pop(eio_sid, None)

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        connection = self.eio.connections.get(eio_sid)
        if connection is None or connection.is_closed:
            return
        if not _is_valid(data):
            connection.drop(INVALID_PAYLOAD, "not Socket.IO")
            return
        async with connection.receive_lock:
            if not connection.is_closed:
                await super()._handle_eio_message(eio_sid, data)

    async def _send_packet(self, eio_sid: str, packet: Packet) -> None:
        if packet.packet_type == CONNECT:
            # With a `pid` the official client says which connection it has lost when it comes back (`auth.pid`).
            packet.data["pid"] = packet.data["sid"]
        await super()._send_packet(eio_sid, packet)

    # --- Clients ------------------------------------------------------------------------------------------------------

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        namespace = namespace or "/"
        is_connected = self.manager.sid_from_eio_sid(eio_sid, namespace) is not None  # it is told that it cannot again
        await super()._handle_connect(eio_sid, namespace, data)
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if sid is None or is_connected:
            return
        if eio_sid not in self.eio.connections:  # it has ended meanwhile, and socketio's manager does not know
            await self.manager.disconnect(sid, namespace, ignore_queue=True)
            return
        client = self._clients.get(sid)
        if client is not None and not client.is_gone:
            client.send_early()
            await client.on_connected()

    async def _on_connect(self, namespace: str, sid: str, environ: Any, auth: Any = None) -> None:  # noqa: ARG002
        connection = self.eio.connections[self.manager.eio_sid_from_sid(sid, namespace)]
        client = self._make_client(connection, namespace)
        if client is None:
            raise socketio.exceptions.ConnectionRefusedError("Invalid namespace")
        connection.namespaces += 1
        client.sid = sid
        client.disconnect = lambda: run_in_background(self.disconnect(sid, namespace))
        self._clients[sid] = client
        try:
            await client.on_connect(auth)
        except BaseException:
            await self._on_disconnect(namespace, sid, self.reason.CLIENT_DISCONNECT)
            raise
        if connection.is_closed:
            await self._on_disconnect(namespace, sid, self.reason.TRANSPORT_CLOSE)

    async def _on_disconnect(self, namespace: str, sid: str, reason: str) -> None:  # noqa: ARG002 - socketio's signature
        client = self._clients.pop(sid, None)
        if client is not None:
            client.is_gone = True
            client.connection.namespaces -= 1
            client.connection.drop_if_unused_after(UNUSED_SECONDS)
            await client.on_disconnect(by_client=reason == self.reason.CLIENT_DISCONNECT)

    async def _on_event(self, name: str, namespace: str, sid: str, *args: Any) -> Any:  # noqa: ARG002
        client = self._clients.get(sid)
        return None if client is None else await client.on_event(name, *args)

    async def drain(self) -> None:
        """Closes all connections with a hint when to come back. `kernel.realtime.consumers.drain`, which comes first, has
        new ones refused.

        A polling client gets the hint if one of its requests is waiting just then, as it mostly is.
        """
        hints = {connection: retry() for connection in self.eio.connections.values()}
        for client in tuple(self._clients.values()):
            client.send(hints.get(client.connection) or retry())
        for number, connection in enumerate(tuple(self.eio.connections.values()), 1):
            connection.drop(SERVICE_RESTART, "restarting")
            if number % 200 == 0:
                await asyncio.sleep(0)
        deadline = time.monotonic() + CLOSE_SECONDS / 2
        while self.eio.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.05)


def _is_valid(data: Any) -> bool:
    """False for packets on which socketio would fail, and for events with reserved names."""
    try:
        packet = Packet(encoded_packet=data)
    except Exception:  # noqa: BLE001 - of many kinds, depending on the packet
        return False
    body = packet.data
    if packet.packet_type == EVENT:
        return isinstance(body, list) and bool(body) and isinstance(body[0], str) and body[0] not in RESERVED_EVENTS
    return packet.packet_type == DISCONNECT or (
        packet.packet_type == CONNECT and (body is None or isinstance(body, dict))
    )
