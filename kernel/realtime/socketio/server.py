"""Socket.IO, as python-socketio speaks it, for clients that listen to the hub: a message is encoded once for all of them."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import orjson
import socketio
from socketio.packet import CONNECT, DISCONNECT, EVENT, Packet

from kernel.realtime import metrics
from kernel.realtime.consumers import CLOSE_SECONDS, RESTARTING, is_draining, retry
from kernel.realtime.hub import keep
from kernel.realtime.publications import Message, News
from kernel.realtime.quotas import MAX_FRAME
from kernel.realtime.socketio.engine import LEFT_SECONDS, RUBBISH, Connection, EngineServer, Frame, Receive, Scope, Send

RESERVED = {"connect", "connect_error", "disconnect", "disconnecting"}  # names that are no events

logger = logging.getLogger(__name__)


def frames(news: News, namespace: str) -> list[Frame]:
    """One for each message: encoded once for all who hear it in this namespace."""
    found: list[Frame] | None = news.packets.get(namespace)
    if found is None:
        found = news.packets[namespace] = [_frame(message, namespace) for message in news.messages]
    return found


def _frame(message: Message, namespace: str) -> Frame:
    body = {name: value for name, value in message.items() if name != "type"}
    text = orjson.dumps([message["type"], body], default=str).decode()
    return Frame(f"{EVENT}{'' if namespace == '/' else f'{namespace},'}{text}")


class Clients(socketio.AsyncManager):  # type: ignore[misc]  # socketio has no types
    """Without rooms: the hub knows who listens."""

    def basic_disconnect(self, sid: str, namespace: str, **kwargs: Any) -> None:  # noqa: ARG002 - socketio's signature
        """socketio's looks through the rooms of all clients, for each that goes."""
        for room in (None, sid):
            self.basic_leave_room(sid, namespace, room)
        for pending in (self.pending_connect, self.pending_disconnect):
            if sid in pending.get(namespace, ()):
                pending[namespace].remove(sid)
                if not pending[namespace]:
                    del pending[namespace]


class Client:
    """A connection in one of its namespaces. What is said before it has heard that it is connected waits for that."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self.connection, self.namespace = connection, namespace
        self.is_gone = False
        self.send_away: Callable[[], None] = lambda: None  # from this namespace; it will not come back by itself
        self._early: list[Frame] | None = []

    def hear(self, news: News) -> None:
        for frame in frames(news, self.namespace):
            if self._early is None:
                self.connection.say(frame)
            else:
                self._early.append(frame)

    def tell(self, message: Message) -> None:
        self.hear(News([message]))

    def close_with(self, code: int, reason: str) -> None:
        self.connection.drop(code, reason)

    def welcome(self) -> None:
        """It has been told that it is connected."""
        early, self._early = self._early or [], None
        for frame in early:
            self.connection.say(frame)

    # For subclasses

    async def come(self, auth: Any) -> None:
        """It wants to connect. Raises socketio.exceptions.ConnectionRefusedError with what it is told."""

    async def welcomed(self) -> None:
        """It is connected, and its first message is not heard before this is over."""

    async def event(self, name: str, *args: Any) -> Any:
        """It has sent something. Returns what it gets if it asks for an acknowledgement."""

    async def left(self, *, wanted_to: bool) -> None:
        """It is gone; `wanted_to` if it said so before."""


class Server(socketio.AsyncServer):  # type: ignore[misc]  # socketio has no types
    """`client` makes the client of a namespace, or None where there is none."""

    def __init__(self, client: Callable[[Connection, str], Client | None], *, origins: list[str] | str) -> None:
        logger.setLevel(logging.ERROR)  # below, they log each packet and each refusal
        super().__init__(
            client_manager=Clients(),
            async_mode="asgi",
            namespaces="*",
            async_handlers=False,  # what a client says is done in the order in which it says it
            max_http_buffer_size=MAX_FRAME,
            cors_allowed_origins=origins,
            logger=logger,
            engineio_logger=logger,
        )
        self._make_client = client
        self._clients: dict[str, Client] = {}  # by Socket.IO's sid
        self.on("connect", self._come, namespace="*")
        self.on("disconnect", self._go, namespace="*")
        self.on("*", self._hear, namespace="*")

    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer

    # --- Connections --------------------------------------------------------------------------------------------------

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> str | None:
        """Returns why it may not connect."""
        connection = Connection(self.eio, eio_sid, environ)
        if is_draining() or connection.guest.is_one_too_many():
            connection.guest.leave()
            connection.is_closed = True
            return "restarting" if is_draining() else "too many connections"
        self.eio.connections[eio_sid] = connection
        metrics.websocket_connections.labels(kind="socketio").inc()
        await super()._handle_eio_connect(eio_sid, environ)
        return None

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        connection = self.eio.connections.pop(eio_sid)
        connection.is_closed = True
        connection.guest.leave()
        metrics.websocket_connections.labels(kind="socketio").dec()
        await super()._handle_eio_disconnect(eio_sid, reason)
        if connection.socket is not None:
            await connection.socket.close()
        else:
            connection.end_poll()

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        connection = self.eio.connections.get(eio_sid)
        if connection is None or connection.is_closed:
            return
        try:
            packet = Packet(encoded_packet=data)
            is_fine = _is_fine(packet)
        except Exception:  # noqa: BLE001 - many kinds, whatever a client thinks of
            is_fine = False
        if not is_fine:
            connection.drop(RUBBISH, "not Socket.IO")
            return
        async with connection.one_at_a_time:
            await super()._handle_eio_message(eio_sid, data)

    # --- Clients ------------------------------------------------------------------------------------------------------

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        await super()._handle_connect(eio_sid, namespace, data)
        client = self._clients.get(self.manager.sid_from_eio_sid(eio_sid, namespace or "/"))
        if client is not None and not client.is_gone:
            client.welcome()
            await client.welcomed()

    async def _come(self, namespace: str, sid: str, environ: Any, auth: Any = None) -> None:  # noqa: ARG002
        eio_sid = self.manager.eio_sid_from_sid(sid, namespace)
        connection = self.eio.connections[eio_sid]
        client = self._make_client(connection, namespace)
        if client is None:
            raise socketio.exceptions.ConnectionRefusedError("Invalid namespace")
        connection.clients += 1
        client.send_away = lambda: keep(asyncio.create_task(self.disconnect(sid, namespace)))
        self._clients[sid] = client
        try:
            await client.come(auth)
        except BaseException:
            await self._go(namespace, sid, self.reason.CLIENT_DISCONNECT)
            raise
        if connection.is_closed:
            await self._go(namespace, sid, self.reason.TRANSPORT_CLOSE)

    async def _go(self, namespace: str, sid: str, reason: str) -> None:  # noqa: ARG002 - socketio's signature
        client = self._clients.pop(sid, None)
        if client is not None:
            client.is_gone = True
            client.connection.clients -= 1
            client.connection.close_if_empty_in(LEFT_SECONDS)
            await client.left(wanted_to=reason == self.reason.CLIENT_DISCONNECT)

    async def _hear(self, name: str, namespace: str, sid: str, *args: Any) -> Any:  # noqa: ARG002
        client = self._clients.get(sid)
        return None if client is None else await client.event(name, *args)

    async def drain(self) -> None:
        """Closes all connections, with a hint when to come back, and lets no more in: see
        `kernel.realtime.consumers.drain`, which comes first.
        Over polling the hint is heard by who waits for an answer just then, as most do.
        """
        hints = {connection: retry() for connection in self.eio.connections.values()}
        for client in tuple(self._clients.values()):
            client.tell(hints.get(client.connection) or retry())
        for number, connection in enumerate(tuple(self.eio.connections.values()), 1):
            connection.drop(RESTARTING, "restarting")
            if number % 200 == 0:
                await asyncio.sleep(0)
        give_up = time.monotonic() + CLOSE_SECONDS / 2
        while self.eio.connections and time.monotonic() < give_up:
            await asyncio.sleep(0.05)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        await self.eio(scope, receive, send)


def _is_fine(packet: Packet) -> bool:
    """What socketio would stumble over, and events with the names of its own."""
    data = packet.data
    if packet.packet_type == EVENT:
        return isinstance(data, list) and bool(data) and isinstance(data[0], str) and data[0] not in RESERVED
    return packet.packet_type == DISCONNECT or (
        packet.packet_type == CONNECT and (data is None or isinstance(data, dict))
    )
