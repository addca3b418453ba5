"""Engine.IO in memory: the Socket.IO server as an ASGI application, and clients that speak to it packet by packet."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from kernel.realtime.socketio.engine import SEPARATOR, EngineConnection
from kernel.realtime.socketio.server import NamespaceClient, SocketIOServer


class Recorder(NamespaceClient):
    def __init__(self, connection: EngineConnection, namespace: str, events: list[Any]) -> None:
        super().__init__(connection, namespace)
        self._events = events

    async def on_event(self, name: str, *args: Any) -> None:  # noqa: ARG002 - the names are all the same
        self._events.append(args[0])


class Site:
    """A server as an ASGI application in memory; the events that its clients have emitted, and the codes of its closes."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.closed: list[int] = []
        self.tasks: list[asyncio.Task[Any]] = []  # requests and connections that go on: asyncio refers to them weakly
        self.server = SocketIOServer(self._make_client, origins="*")
        self.connections: dict[str, EngineConnection] = self.server.eio.connections

    def _make_client(self, connection: EngineConnection, namespace: str) -> NamespaceClient | None:
        return Recorder(connection, namespace, self.events) if namespace != "/nowhere" else None

    async def open(self, *, joins: bool = True) -> tuple[str, EngineConnection]:
        """A client that polls: its sid, and the server's side of it."""
        status, body = await self.request("GET", "")
        assert status == 200, body
        sid = json.loads(body[1:])["sid"]
        if joins:
            assert (await self.request("POST", sid, b"40"))[0] == 200
            (answer,) = await self.poll(sid)
            assert answer.startswith("40")
        return sid, self.connections[sid]

    async def request(self, method: str, sid: str, *chunks: bytes) -> tuple[int, str]:
        """The status and the body of the response; `chunks` of the request's body."""
        events = [
            {"type": "http.request", "body": chunk, "more_body": number < len(chunks)}
            for number, chunk in enumerate(chunks or (b"",), 1)
        ]
        headers = [(b"content-length", str(sum(map(len, chunks))).encode())]
        return await self.exchange(method, sid, events, headers)

    async def exchange(
        self,
        method: str,
        sid: str,
        events: list[dict[str, Any]],
        headers: list[tuple[bytes, bytes]],
        transport: str = "polling",
    ) -> tuple[int, str]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if not events:  # the client is there and says nothing
                await asyncio.Event().wait()
            return events.pop(0)

        async def send(event: dict[str, Any]) -> None:
            sent.append(event)

        await self.server(scope("http", sid, transport, method=method, headers=headers), receive, send)
        assert [event["type"] for event in sent] == ["http.response.start", "http.response.body"]
        return sent[0]["status"], sent[1]["body"].decode()

    async def poll(self, sid: str) -> list[str]:
        async with asyncio.timeout(5):
            status, body = await self.request("GET", sid)
        assert status == 200, body
        return body.split(SEPARATOR)


def scope(kind: str, sid: str, transport: str, **more: Any) -> dict[str, Any]:
    query = f"EIO=4&transport={transport}" + (f"&sid={sid}" if sid else "")
    address = {"path": "/socket.io/", "query_string": query.encode(), "client": ("198.51.100.7", 1)}
    return {"type": kind, "headers": [], **address, **more}


class WebSocketClient:
    """A client over WebSocket. `reads` is cleared while it does not read."""

    def __init__(self, site: Site, sid: str = "", transport: str = "websocket") -> None:
        self.received: list[str] = []
        self.closed: list[tuple[int, str]] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._events.put_nowait({"type": "websocket.connect"})
        headers = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
        self.task = asyncio.create_task(
            site.server(scope("websocket", sid, transport, headers=headers), self._events.get, self._send)
        )
        site.tasks.append(self.task)

    async def _send(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "websocket.send":
                await self.reads.wait()
                self.received.append(event["text"])
            case "websocket.close":
                self.closed.append((event.get("code", 1000), event.get("reason", "")))
                self.leave()

    def send(self, text: str | None, **more: Any) -> None:
        self._events.put_nowait({"type": "websocket.receive", "text": text, **more})

    def leave(self) -> None:
        self._events.put_nowait({"type": "websocket.disconnect"})


async def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


async def upgraded(site: Site) -> tuple[EngineConnection, WebSocketClient]:
    """A client that began with polling, as the official one does, and is on WebSocket now."""
    sid, connection = await site.open()
    client = WebSocketClient(site, sid)
    client.send("2probe")
    await until(lambda: client.received == ["3probe"])
    client.send("5")
    await until(lambda: connection.websocket is not None and site.server.eio.sockets[sid].upgraded)
    await until(lambda: client.received[-1] == "6")  # the NOOP that ends a poll, in its queue still
    client.received.clear()
    return connection, client
