"""WebSockets: what is sent waits in a bounded buffer, what comes in is limited, and how they are refused and dropped.

Refused connections are accepted and closed with a code and a reason, since browsers show nothing of a refused handshake.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Protocol
from urllib.parse import parse_qs
from uuid import UUID

import orjson
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

from kernel import metrics
from kernel.api import parse_id
from kernel.auth import InvalidToken, NotAuthenticated, User, verify
from kernel.errors import InvalidInput, Kind, Refused
from kernel.limits import LARGEST_FRAME, Guest
from kernel.realtime import Listener, Message, News, as_event
from kernel.threads import in_thread

MOST_BUFFERED = (
    256 * 1024
)  # characters for each socket; frames are shared, so many slow sockets cost little more than one
SLOW_SECONDS = 10.0  # a socket that takes nothing for so long is closed
CLOSE_SECONDS = 5.0
RETRY_SPREAD_MS = 5000

MALFORMED, UNAUTHORISED, NOT_FOUND, TOO_SLOW, REPLACED, TOO_MANY = 4400, 4401, 4404, 4408, 4409, 4429
RESTARTING, TOO_BIG, FLOOD, TRY_LATER = 1012, 1009, 1008, 1013
CODES = {
    Kind.INVALID: MALFORMED,
    Kind.UNAUTHENTICATED: UNAUTHORISED,
    Kind.FORBIDDEN: UNAUTHORISED,
    Kind.NOT_FOUND: NOT_FOUND,
    Kind.UNAVAILABLE: TRY_LATER,
}


class Closed(Exception):
    """The socket is to be closed with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(code, reason)


# --- Out --------------------------------------------------------------------------------------------------------------


class Receiver(Listener, Protocol):
    """A client, to those who have something to say to it."""

    def tell(self, message: Message) -> None:
        """Returns at once."""

    @property
    def close_with(self) -> Callable[[int, str], None]: ...


class Outbox:
    """What goes out to one client. Frames are handed straight to the server's `send`.

    `send` is taken its first step at once, without a task: as long as the client keeps up that is all it takes. When it has
    to wait, because the client does not read, a task waits for it, and what is said meanwhile is kept in the buffer.

    `when_full` gives what is said instead of the buffer when it is full; None: the socket is closed.
    """

    __slots__ = ("_buffer", "_buffered", "_send", "_sent", "_waiting", "close_with", "is_closed", "when_full")

    def __init__(self, send: Callable[[Any], Any], close_with: Callable[[int, str], None]) -> None:
        self._send = send
        self._buffer: deque[dict[str, str]] = deque()
        self._buffered = 0
        self._sent = 0  # frames that had to wait
        self._waiting: asyncio.Task[None] | None = None
        self.close_with = close_with
        self.is_closed = False
        self.when_full: Callable[[], News | None] = lambda: None

    def hear(self, news: News) -> None:
        self.say(news.event)

    def tell(self, message: Message) -> None:
        self.say(as_event(message))

    def say(self, event: dict[str, str]) -> None:
        """Sends a frame, now or when those before it are sent. Returns at once; to a closed socket nothing is said."""
        if self.is_closed:
            return
        if self._waiting is not None:
            self._keep(event)
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
        self._buffer.clear()
        if self._waiting is not None:
            self._waiting.cancel()

    def _keep(self, event: dict[str, str]) -> None:
        size = len(event["text"])
        if self._buffered + size <= MOST_BUFFERED:
            self._buffer.append(event)
            self._buffered += size
            return
        instead = self.when_full()
        self._buffer.clear()
        self._buffered = 0
        if instead is None:
            self._give_up()
            return
        metrics.live_slow.labels(outcome="refetch").inc()
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
            self._waiting = None

    def _close_if_stuck(self, waiting: asyncio.Task[None], sent: int) -> None:
        if waiting is not self._waiting:
            return
        if sent == self._sent:
            self._give_up()
        else:
            asyncio.get_running_loop().call_later(SLOW_SECONDS, self._close_if_stuck, waiting, self._sent)

    def _give_up(self) -> None:
        metrics.live_slow.labels(outcome="closed").inc()
        self.close_with(TOO_SLOW, "too slow")


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


# --- In ---------------------------------------------------------------------------------------------------------------


class SocketConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """A socket of ours. A subclass says in `join` who may come and what is heard, and in `left` what ends with it."""

    channel_layer_alias = ""  # the hub subscribes, once for all sockets
    kind = ""
    outbox: Outbox

    async def join(self) -> None:
        """The socket is accepted. Raises Refused or Closed for who may not stay."""
        raise NotImplementedError

    def left(self) -> None:
        """The socket is gone. Also called when `join` has not come to its end."""

    async def dispatch(self, message: Message) -> None:
        """Channels looks after the loop's database connections here, in a thread; nothing of ours has one there."""
        await getattr(self, message["type"].replace(".", "_"))(message)

    async def websocket_connect(self, message: Message) -> None:  # noqa: ARG002 - Channels' signature
        self.outbox = Outbox(self.base_send, self.drop)
        self.guest = Guest(self.scope)
        self._ending: asyncio.Task[None] | None = None
        _open.add(self)
        metrics.live_sockets.labels(kind=self.kind).inc()
        await self.accept("bearer" if "bearer" in self.scope["subprotocols"] else None)
        try:
            self._refuse_at_the_door()
            await self.join()
        except Closed as closed:
            self.drop(closed.code, closed.reason)
        except Refused as refused:
            self.drop(CODES.get(refused.kind, MALFORMED), refused.code)

    def _refuse_at_the_door(self) -> None:
        if _is_draining:
            raise Closed(RESTARTING, "restarting")
        if self.guest.is_one_too_many():
            raise Closed(TOO_MANY, "too many connections")

    async def websocket_receive(self, message: Message) -> None:
        text = message.get("text")
        raw = text.encode() if text is not None else message.get("bytes") or b""
        if len(raw) > LARGEST_FRAME:
            self.drop(TOO_BIG, "frame too big")
        elif not self.guest.may_speak():
            self.drop(FLOOD, "too many messages")
        elif text is None or not _is_heartbeat(raw):
            error = {"type": "error", "code": "UNKNOWN_MESSAGE", "message": "알 수 없는 메시지입니다."}
            self.outbox.tell(error)

    async def websocket_disconnect(self, message: Message) -> None:  # noqa: ARG002 - Channels' signature
        raise StopConsumer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self in _open:
                _open.discard(self)
                self.guest.leave()
                metrics.live_sockets.labels(kind=self.kind).dec()
                self.outbox.stop()
                self.left()

    def drop(self, code: int, reason: str) -> None:
        """Closes the socket from our side. What waits to be sent is lost. Returns at once; twice is the same as once."""
        if self._ending is not None:
            return
        metrics.live_closed.labels(code=str(code)).inc()
        self.outbox.stop()
        self._ending = asyncio.create_task(self._end(code, reason))

    async def _end(self, code: int, reason: str) -> None:
        await end(self.base_send, self.close(code, reason), is_slow=code == TOO_SLOW)

    # For subclasses

    def event_id(self) -> UUID:
        """The id in the path. Raises Closed."""
        try:
            return parse_id(self.scope["url_route"]["kwargs"]["event_id"], "")
        except InvalidInput as error:
            raise Closed(MALFORMED, "malformed id") from error

    async def user(self) -> User:
        """Who comes, by `bearer, <token>` among the subprotocols or `?token=`. Raises Refused."""
        token = _token(self.scope)
        if not token:
            raise NotAuthenticated
        if len(token) > LARGEST_FRAME:
            raise InvalidToken
        user = await in_thread(verify, token)
        if not self.guest.may_be(user.user_id):
            raise Closed(TOO_MANY, "too many connections")
        return user


async def end(send: Any, closing: Awaitable[None], *, is_slow: bool) -> None:
    """Closes a socket, `send` being the server's, and cuts the line when its client does not even take that."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    try:
        await asyncio.wait_for(closing, 0.1 if is_slow else CLOSE_SECONDS)
    except Exception:  # noqa: BLE001 - gone already, or so slow
        if transport is not None:  # uvicorn's: a plain close would wait for the client for ever
            transport.abort()


def _is_heartbeat(raw: bytes) -> bool:
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return False
    return isinstance(message, dict) and message.get("type") == "heartbeat"


def _token(scope: Any) -> str:
    offered = scope["subprotocols"]
    if "bearer" in offered[:-1]:
        return str(offered[offered.index("bearer") + 1])
    return str(parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0])


# --- All of this process ----------------------------------------------------------------------------------------------

_open: set[SocketConsumer] = set()
_is_draining = False


def is_draining() -> bool:
    return _is_draining


async def drain() -> None:
    """Sends everybody away, with a hint when to come back: not all at once."""
    global _is_draining
    _is_draining = True
    for number, socket in enumerate(tuple(_open), 1):
        socket.outbox.tell({"type": "retry", "afterMs": random.randrange(RETRY_SPREAD_MS)})  # noqa: S311 - no secret
        socket.drop(RESTARTING, "restarting")
        if number % 200 == 0:
            await asyncio.sleep(0)
    give_up = time.monotonic() + CLOSE_SECONDS / 2
    while _open and time.monotonic() < give_up:
        await asyncio.sleep(0.05)
