"""WebSockets: who may have one, what may come in, and how they are refused and dropped.

What goes out: see `kernel.realtime.writer`.

DomainError connections are accepted and closed with a code and a reason, since browsers show nothing of a refused handshake.
"""

import asyncio
import random
import time
from collections.abc import Awaitable
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import orjson
from channels.generic.websocket import AsyncWebsocketConsumer

from kernel.concurrency.threads import in_thread
from kernel.errors import DomainError, InvalidInput, Kind
from kernel.http.auth import InvalidToken, NotAuthenticated, User, verify
from kernel.realtime import metrics
from kernel.realtime.publications import Message
from kernel.realtime.quotas import MAX_FRAME, Guest
from kernel.realtime.writer import TOO_SLOW, Outbox
from kernel.wire import parse_id

CLOSE_SECONDS = 5.0
RETRY_SPREAD_MS = 5000

MALFORMED, UNAUTHORISED, NOT_FOUND, REPLACED, TOO_MANY = 4400, 4401, 4404, 4409, 4429
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


# --- In ---------------------------------------------------------------------------------------------------------------


class SocketConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """A socket of ours, on an event. A subclass says in `join` who may come and what is heard, in `left` what ends."""

    kind = ""
    outbox: Outbox

    def __init__(self, event_id: str) -> None:
        super().__init__()
        self._event_id = event_id

    async def join(self) -> None:
        """The socket is accepted. Raises DomainError or Closed for who may not stay."""
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
        metrics.websocket_connections.labels(kind=self.kind).inc()
        await self.accept("bearer" if "bearer" in self.scope["subprotocols"] else None)
        try:
            self._refuse_at_the_door()
            await self.join()
        except Closed as closed:
            self.drop(closed.code, closed.reason)
        except DomainError as refused:
            self.drop(CODES.get(refused.kind, MALFORMED), refused.code)

    def _refuse_at_the_door(self) -> None:
        if _is_draining:
            raise Closed(RESTARTING, "restarting")
        if self.guest.is_one_too_many():
            raise Closed(TOO_MANY, "too many connections")

    async def websocket_receive(self, message: Message) -> None:
        text = message.get("text")
        raw = text.encode() if text is not None else message.get("bytes") or b""
        if len(raw) > MAX_FRAME:
            self.drop(TOO_BIG, "frame too big")
        elif not self.guest.may_speak():
            self.drop(FLOOD, "too many messages")
        elif text is None or not _is_heartbeat(raw):
            error = {"type": "error", "code": "UNKNOWN_MESSAGE", "message": "알 수 없는 메시지입니다."}
            self.outbox.tell(error)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Without Channels' own loop: it has a task more for each socket, so as to listen to a channel layer, too."""
        self.scope, self.base_send, self.channel_layer = scope, send, None
        try:
            while True:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    return
                await self.dispatch(message)
        finally:
            if self in _open:
                _open.discard(self)
                self.guest.leave()
                metrics.websocket_connections.labels(kind=self.kind).dec()
                self.outbox.stop()
                self.left()

    def drop(self, code: int, reason: str) -> None:
        """Closes the socket from our side. What waits to be sent is lost. Returns at once; twice is the same as once."""
        if self._ending is not None:
            return
        self.guest.is_sent_away(code, reason)
        self.outbox.stop()
        self._ending = asyncio.create_task(self._end(code, reason))

    async def _end(self, code: int, reason: str) -> None:
        await end(self.base_send, self.close(code, reason), is_slow=code == TOO_SLOW)

    # For subclasses

    def event_id(self) -> UUID:
        """The id in the path. Raises Closed."""
        try:
            return parse_id(self._event_id, "")
        except InvalidInput as error:
            raise Closed(MALFORMED, "malformed id") from error

    async def user(self) -> User:
        """Who comes, by `bearer, <token>` among the subprotocols or `?token=`. Raises DomainError."""
        token = _token(self.scope)
        if not token:
            raise NotAuthenticated
        if len(token) > MAX_FRAME:
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


def retry() -> Message:
    """When to come back: not all at once."""
    return {"type": "retry", "afterMs": random.randrange(RETRY_SPREAD_MS)}  # noqa: S311 - no secret


async def drain() -> None:
    """Sends everybody away, with a hint when to come back."""
    global _is_draining
    _is_draining = True
    for number, socket in enumerate(tuple(_open), 1):
        socket.outbox.tell(retry())
        socket.drop(RESTARTING, "restarting")
        if number % 200 == 0:
            await asyncio.sleep(0)
    give_up = time.monotonic() + CLOSE_SECONDS / 2
    while _open and time.monotonic() < give_up:
        await asyncio.sleep(0.05)
