"""What goes out to one client: handed straight to the server, or kept in a bounded buffer while the client does not read."""

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Protocol

from kernel.realtime import metrics
from kernel.realtime.hub import Listener
from kernel.realtime.publications import Message, News, SendText, as_event

# Characters for each socket. Frames are shared, so that many slow sockets cost little more than one.
MAX_BUFFERED = 256 * 1024
SLOW_SECONDS = 10.0  # a socket that takes nothing for so long is closed
TOO_SLOW = 4408


class Receiver(Listener, Protocol):
    """A client, to those who have something to say to it."""

    def tell(self, message: Message) -> None:
        """Returns at once."""

    @property
    def close_with(self) -> Callable[[int, str], None]: ...


class Outbox:
    """What goes out to one client. Frames are handed straight to the server, as they are if it has `write_frame`
    (`kernel.realtime.uvicorn_protocol`), and else to its `send`.

    `send` is taken its first step at once, without a task: as long as the client keeps up that is all it takes. When it has
    to wait, because the client does not read, a task waits for it, and what is said meanwhile is kept in the buffer.

    `close_with` is called with a code and a reason when it is to be closed; it calls `stop`, and may be called again.
    `when_full` gives what is said instead of the buffer when it is full; None: the socket is closed.
    """

    __slots__ = ("_buffer", "_buffered", "_send", "_sent", "_waiting", "_write", "close_with", "is_closed", "when_full")

    def __init__(self, send: Callable[[Any], Any], close_with: Callable[[int, str], None]) -> None:
        self._send = send
        self._write: Callable[[bytes], bool] = getattr(getattr(send, "__self__", None), "write_frame", _can_not)
        self._buffer: deque[SendText] | None = None  # until it is needed: it takes 760 bytes
        self._buffered = 0
        self._sent = 0  # frames that had to wait
        self._waiting: asyncio.Task[None] | None = None
        self.close_with = close_with
        self.is_closed = False
        self.when_full: Callable[[], News | None] = _nothing

    def hear(self, news: News) -> None:
        self.say(news.event)

    def tell(self, message: Message) -> None:
        self.say(as_event(message))

    def say(self, event: SendText) -> None:
        """Sends a frame, now or when those before it are sent. Returns at once; to a closed socket nothing is said."""
        if self.is_closed:
            return
        if self._waiting is not None:
            self._keep(event)
            return
        if self._write(event.frame):
            return
        try:
            step = self._send(event).__await__()
            waits_for = next(step)
        except StopIteration:
            return
        except Exception:  # noqa: BLE001 - each server has its own exceptions for a client that is gone
            self.is_closed = True
            return
        self._waiting = asyncio.create_task(self._send_on(_Rest(step, waits_for)))
        asyncio.get_running_loop().call_later(SLOW_SECONDS, self._close_if_stuck, self._waiting, self._sent)

    def stop(self) -> None:
        """Nothing more is said."""
        self.is_closed = True
        self._buffer = None
        if self._waiting is not None:
            self._waiting.cancel()

    def _keep(self, event: SendText) -> None:
        size = len(event["text"])
        if self._buffer is None:
            self._buffer = deque()
        if self._buffered + size <= MAX_BUFFERED:
            self._buffer.append(event)
            self._buffered += size
            return
        instead = self.when_full()
        self._buffer.clear()
        self._buffered = 0
        if instead is None:
            self._give_up()
            return
        metrics.websocket_slow_clients.labels(outcome="refetch").inc()
        self._buffer.append(instead.event)
        self._buffered = len(instead.event["text"])

    async def _send_on(self, rest: "_Rest") -> None:
        try:
            await rest
            self._sent += 1
            while self._buffer:
                event = self._buffer.popleft()
                self._buffered -= len(event["text"])
                await self._send(event)
                self._sent += 1
        except Exception:  # noqa: BLE001 - as above
            self.is_closed = True
        finally:
            self._waiting = self._buffer = None

    def _close_if_stuck(self, waiting: asyncio.Task[None], sent: int) -> None:
        if waiting is not self._waiting:
            return
        if sent == self._sent:
            self._give_up()
        else:
            asyncio.get_running_loop().call_later(SLOW_SECONDS, self._close_if_stuck, waiting, self._sent)

    def _give_up(self) -> None:
        metrics.websocket_slow_clients.labels(outcome="closed").inc()
        self.close_with(TOO_SLOW, "too slow")


def _can_not(frame: bytes) -> bool:  # noqa: ARG001 - as WebSocket.write_frame
    return False


def _nothing() -> None:
    return None


class _Rest:
    """The rest of a coroutine that has been taken its first step, for a task to await."""

    __slots__ = ("_step", "_waits_for")

    def __init__(self, step: Generator[Any, Any, Any], waits_for: Any) -> None:
        self._step, self._waits_for = step, waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            yield self._waits_for
        except BaseException as error:  # noqa: BLE001 - cancelled: the coroutine is told
            try:
                waits_for = self._step.throw(error)
            except StopIteration:
                return
            yield waits_for
        yield from self._step
