"""uvicorn's WebSocket protocol with less memory while it is idle, and a shortcut for frames that are encoded already.

Named in the Procfile as `--ws`; on another ASGI server the service works without it. It relies on attributes of uvicorn's
class: uvicorn's version is pinned, and the tests of live connections run on this class. See docs/adr/0014.
"""

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import OPEN


class EventQueue:
    """An `asyncio.Queue` for one reader. That class has four deques, which take 3 KB even while they are empty."""

    __slots__ = ("_items", "_reader")

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._reader: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        return not self._items

    def put_nowait(self, item: Any) -> None:
        self._items.append(item)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> Any:
        while not self._items:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._items.pop(0)


class WritableEvent:
    """An `asyncio.Event` that is set at first. It takes memory only while it is cleared."""

    __slots__ = ("_cleared",)

    def __init__(self) -> None:
        self._cleared: asyncio.Event | None = None

    def is_set(self) -> bool:
        return self._cleared is None

    def set(self) -> None:
        if self._cleared is not None:
            self._cleared.set()
            self._cleared = None

    def clear(self) -> None:
        if self._cleared is None:
            self._cleared = asyncio.Event()

    async def wait(self) -> None:
        if self._cleared is not None:
            await self._cleared.wait()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    # Beyond 30 attributes an instance no longer shares the names of its class, which takes 1.3 KB more.
    __slots__ = (
        "client",
        "close_timer",
        "frames",
        "pong_timer",
        "queue",
        "request",
        "response",
        "scope",
        "server",
        "writable",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue = EventQueue()  # type: ignore[assignment]
        self.writable = WritableEvent()  # type: ignore[assignment]

    def start_keepalive(self) -> None:
        """Called when the handshake is over: what only the handshake needed is freed."""
        super().start_keepalive()
        self.request.headers.clear()
        self.conn.reader.buffer = self.conn.reader.buffer[:]  # a bytearray keeps the space of what was taken out of it
        self.scope["headers"].clear()  # type: ignore[attr-defined]  # a list in uvicorn
        del self.response

    def write_frame(self, frame: bytes) -> bool:
        """Writes an encoded frame. False if that is not possible now: then `send` has to be used."""
        if (
            not self.writable.is_set()
            or not self.handshake_complete
            or self.close_sent
            or self.conn.state is not OPEN
            or self.transport.is_closing()
        ):
            return False
        self.transport.write(frame)
        return True
