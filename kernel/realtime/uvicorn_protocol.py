"""A WebSocket as uvicorn serves it, with less memory while it is idle and a short way out for frames that many hear.

Named in the Procfile as `--ws`; other ASGI servers do without it. It knows attributes of uvicorn's own class: the version is
pinned, and the tests of live sockets run on it. See docs/adr/0014.
"""

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import OPEN


class Inbox:
    """What `asyncio.Queue` is for one reader. Four deques, empty as they are, take 3 KB."""

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


class Gate:
    """What `asyncio.Event` is, open at first. It takes memory only while it is shut."""

    __slots__ = ("_shut",)

    def __init__(self) -> None:
        self._shut: asyncio.Event | None = None

    def is_set(self) -> bool:
        return self._shut is None

    def set(self) -> None:
        if self._shut is not None:
            self._shut.set()
            self._shut = None

    def clear(self) -> None:
        if self._shut is None:
            self._shut = asyncio.Event()

    async def wait(self) -> None:
        if self._shut is not None:
            await self._shut.wait()


class WebSocket(WebSocketsSansIOProtocol):
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
        self.queue = Inbox()  # type: ignore[assignment]
        self.writable = Gate()  # type: ignore[assignment]

    def start_keepalive(self) -> None:
        """The handshake is over: what it was about is not looked at again."""
        super().start_keepalive()
        self.request.headers.clear()
        self.conn.reader.buffer = self.conn.reader.buffer[:]  # a buffer keeps the room for what was taken out of it
        self.scope["headers"].clear()  # type: ignore[attr-defined]  # uvicorn's is a list
        del self.response

    def write_frame(self, frame: bytes) -> bool:
        """Sends a frame that was encoded before, at once; False if that can not be, and `send` has to look at it."""
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
