"""The limit: an ASGI application that sends each datagram that arrives on its port, as it is, to every open socket."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

Send = Callable[[dict[str, Any]], Awaitable[None]]

_sockets: set[Send] = set()
_listening: list[Any] = []


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self._sending: set[asyncio.Task[None]] = set()

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002 - asyncio's signature
        task = asyncio.create_task(broadcast({"type": "websocket.send", "text": data.decode()}))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)


async def broadcast(event: dict[str, Any]) -> None:
    for send in tuple(_sockets):
        await send(event)


async def application(scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Send) -> None:
    if scope["type"] != "websocket":
        return
    if not _listening:  # here, since daphne has no lifespan
        _listening.append(None)
        loop = asyncio.get_running_loop()
        _listening[0] = await loop.create_datagram_endpoint(Datagrams, ("127.0.0.1", int(os.environ["PORT"])))
    await receive()
    await send({"type": "websocket.accept"})
    _sockets.add(send)
    while (await receive())["type"] != "websocket.disconnect":
        pass
    _sockets.discard(send)
