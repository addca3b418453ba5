"""The connection writer: hands frames straight to the server, and buffers them while the client does not read."""

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

from kernel.realtime import metrics
from kernel.realtime.channel import Drop, Message, Publication, TextFrame, encode
from kernel.realtime.close_codes import TOO_SLOW

# Characters for each connection. Frames are shared, so that many slow connections cost little more than one.
MAX_BUFFERED = 256 * 1024
STALLED_SECONDS = 10.0  # a connection that takes nothing for so long is dropped


class ConnectionWriter:
    """Writes frames to one client, in order. It never waits and never raises.

    `send` is the ASGI server's. A server whose connection has `write_frame` (`kernel.realtime.uvicorn_protocol`) gets the
    encoded frame instead.

    `drop` is called with TOO_SLOW when the client does not keep up, perhaps more than once. It has to call `close`.

    `on_overflow` gives the publication that replaces the buffer when it is full; None: the connection is dropped.
    """

    __slots__ = (
        "_buffer",
        "_buffered",
        "_flushing",
        "_send",
        "_sent",
        "_write_frame",
        "drop",
        "is_closed",
        "on_overflow",
    )

    def __init__(self, send: Callable[[Any], Any], drop: Drop) -> None:
        self._send = send
        self._write_frame: Callable[[bytes], bool] = getattr(getattr(send, "__self__", None), "write_frame", _refuse)
        self._buffer: deque[TextFrame] | None = None  # made when it is needed: a deque takes 760 bytes
        self._buffered = 0  # characters
        self._flushing: asyncio.Task[None] | None = None
        self._sent = 0  # frames, by the task
        self.drop = drop
        self.is_closed = False
        self.on_overflow: Callable[[], Publication | None] = _drop_connection

    def on_publication(self, publication: Publication) -> None:
        self.write(publication.frame)

    def send(self, message: Message) -> None:
        self.write(encode(message))

    def write(self, frame: TextFrame) -> None:
        """Sends a frame, now or after those before it. Returns at once; does nothing when closed."""
        if self.is_closed:
            return
        if self._flushing is not None:
            self._keep(frame)
        elif not self._write_frame(frame.encoded):
            self._start_sending(frame)

    def close(self) -> None:
        """Nothing more is written; the buffer is lost."""
        self.is_closed = True
        self._buffer = None
        if self._flushing is not None:
            self._flushing.cancel()

    def _start_sending(self, frame: TextFrame) -> None:
        # The first step of `send` is taken here, without a task. As long as the client keeps up it is the only one; when
        # `send` has to wait, since the client does not read, a task takes over.
        try:
            steps = self._send(frame).__await__()
            awaited = next(steps)
        except StopIteration:
            return
        except Exception:  # noqa: BLE001 - each server has its own exceptions for a client that is gone
            self.is_closed = True
            return
        self._flushing = asyncio.create_task(self._flush(_StartedCoroutine(steps, awaited)))
        asyncio.get_running_loop().call_later(STALLED_SECONDS, self._drop_if_stalled, self._flushing, self._sent)

    def _keep(self, frame: TextFrame) -> None:
        size = len(frame["text"])
        if self._buffer is None:
            self._buffer = deque()
        if self._buffered + size <= MAX_BUFFERED:
            self._buffer.append(frame)
            self._buffered += size
            return
        replacement = self.on_overflow()
        self._buffer.clear()
        self._buffered = 0
        if replacement is None:
            self._drop_slow_client()
            return
        metrics.websocket_slow_clients.labels(outcome="refetch").inc()
        self._buffer.append(replacement.frame)
        self._buffered = len(replacement.frame["text"])

    async def _flush(self, started: "_StartedCoroutine") -> None:
        try:
            await started
            self._sent += 1
            while self._buffer:
                frame = self._buffer.popleft()
                self._buffered -= len(frame["text"])
                await self._send(frame)
                self._sent += 1
        except Exception:  # noqa: BLE001 - as in _start_sending
            self.is_closed = True
        finally:
            self._flushing = self._buffer = None

    def _drop_if_stalled(self, flushing: asyncio.Task[None], sent: int) -> None:
        if flushing is not self._flushing:
            return
        if sent == self._sent:
            self._drop_slow_client()
        else:
            asyncio.get_running_loop().call_later(STALLED_SECONDS, self._drop_if_stalled, flushing, self._sent)

    def _drop_slow_client(self) -> None:
        metrics.websocket_slow_clients.labels(outcome="closed").inc()
        self.drop(TOO_SLOW, "too slow")


def _refuse(frame: bytes) -> bool:  # noqa: ARG001 - as WebSocketProtocol.write_frame
    return False


def _drop_connection() -> None:
    return None


class _StartedCoroutine:
    """A coroutine whose first step was taken, as something that a task can await."""

    __slots__ = ("_awaited", "_steps")

    def __init__(self, steps: Generator[Any, Any, Any], awaited: Any) -> None:
        self._steps, self._awaited = steps, awaited

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            yield self._awaited
        except BaseException as error:  # noqa: BLE001 - cancelled: the coroutine has to know
            try:
                awaited = self._steps.throw(error)
            except StopIteration:
                return
            yield awaited
        yield from self._steps
