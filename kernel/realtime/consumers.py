"""WebSocket consumers: they accept, authenticate and limit connections, read what clients send, and close them.

What is sent to clients goes through `kernel.realtime.writer`.

A refused connection is accepted and then closed with a code and a reason, since browsers do not show why a handshake failed.
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

from kernel.errors import DomainError, InvalidInput, Kind
from kernel.http.auth import InvalidToken, NotAuthenticated, User
from kernel.realtime import metrics
from kernel.realtime.channel import Message
from kernel.realtime.close_codes import (
    MALFORMED,
    MESSAGE_TOO_BIG,
    NOT_FOUND,
    POLICY_VIOLATION,
    SERVICE_RESTART,
    TOO_MANY,
    TOO_SLOW,
    TRY_AGAIN_LATER,
    UNAUTHORIZED,
)
from kernel.realtime.quotas import MAX_FRAME_BYTES, ConnectionQuota
from kernel.realtime.writer import ConnectionWriter
from kernel.wire import parse_id

CLOSE_SECONDS = 5.0
RETRY_SPREAD_MS = 5000

CLOSE_CODES = {
    Kind.INVALID: MALFORMED,
    Kind.UNAUTHENTICATED: UNAUTHORIZED,
    Kind.FORBIDDEN: UNAUTHORIZED,
    Kind.NOT_FOUND: NOT_FOUND,
    Kind.RATE_LIMITED: TOO_MANY,
    Kind.UNAVAILABLE: TRY_AGAIN_LATER,
}


class CloseConnection(Exception):
    """The connection has to be closed with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(code, reason)


# --- One connection ---------------------------------------------------------------------------------------------------


class SocketConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """A WebSocket about one event. A subclass defines what it subscribes to."""

    kind = ""
    writer: ConnectionWriter

    def __init__(self, event_id: str) -> None:
        super().__init__()
        self._event_id = event_id

    async def subscribe(self) -> None:
        """Called when the connection is accepted. Raises DomainError or CloseConnection if it may not stay."""
        raise NotImplementedError

    def unsubscribe(self) -> None:
        """Called when the connection is gone, also if `subscribe` did not come to its end."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        # Instead of Channels' own loop, which has a second task for each connection to listen to a channel layer.
        self.scope, self.base_send, self.channel_layer = scope, send, None
        try:
            while True:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    return
                await self.dispatch(message)
        finally:
            if self in _consumers:
                _consumers.discard(self)
                self.quota.release()
                metrics.websocket_connections.labels(kind=self.kind).dec()
                self.writer.close()
                self.unsubscribe()

    async def dispatch(self, message: Message) -> None:
        # Channels closes old database connections here, in a thread. A consumer has none.
        await getattr(self, message["type"].replace(".", "_"))(message)

    async def websocket_connect(self, message: Message) -> None:  # noqa: ARG002 - Channels' signature
        self.writer = ConnectionWriter(self.base_send, self.drop)
        self.quota = ConnectionQuota(self.scope)
        self._closing: asyncio.Task[None] | None = None
        _consumers.add(self)
        metrics.websocket_connections.labels(kind=self.kind).inc()
        await self.accept("bearer" if "bearer" in self.scope["subprotocols"] else None)
        try:
            self._check_capacity()
            await self.subscribe()
        except CloseConnection as closed:
            self.drop(closed.code, closed.reason)
        except DomainError as error:
            if error.kind is Kind.RATE_LIMITED:
                self.writer.send({"type": "retry", "afterMs": 1000 * (error.retry_after or 1)})
            self.drop(CLOSE_CODES.get(error.kind, MALFORMED), error.code)

    def _check_capacity(self) -> None:
        if _is_draining:
            raise CloseConnection(SERVICE_RESTART, "restarting")
        if self.quota.exceeds_address_limit():
            raise CloseConnection(TOO_MANY, "too many connections")

    async def websocket_receive(self, message: Message) -> None:
        text = message.get("text")
        raw = text.encode() if text is not None else message.get("bytes") or b""
        if len(raw) > MAX_FRAME_BYTES:
            self.drop(MESSAGE_TOO_BIG, "frame too big")
        elif not self.quota.allow_frame():
            self.drop(POLICY_VIOLATION, "too many messages")
        elif text is None or not _is_heartbeat(raw):
            self.writer.send({"type": "error", "code": "UNKNOWN_MESSAGE", "message": "알 수 없는 메시지입니다."})

    def drop(self, code: int, reason: str) -> None:
        """Closes the connection from this side; buffered frames are lost. Returns at once. A second call has no effect."""
        if self._closing is not None:
            return
        self.quota.record_close(code, reason)
        self.writer.close()
        self._closing = asyncio.create_task(self._close(code, reason))

    async def _close(self, code: int, reason: str) -> None:
        await close_or_abort(self.base_send, self.close(code, reason), is_slow=code == TOO_SLOW)

    # For subclasses

    def parse_event_id(self) -> UUID:
        """The id in the path. Raises CloseConnection."""
        try:
            return parse_id(self._event_id, "")
        except InvalidInput as error:
            raise CloseConnection(MALFORMED, "malformed id") from error

    async def admit_visitor(self) -> None:
        """Of a socket that needs no token; with a valid one it is the user's. Raises DomainError."""
        token = _token(self.scope)
        await self.quota.admit_visitor(token if len(token) <= MAX_FRAME_BYTES else "")

    async def authenticate(self) -> User:
        """The user, by `bearer, <token>` among the subprotocols or by `?token=`. Raises DomainError or CloseConnection."""
        token = _token(self.scope)
        if not token:
            raise NotAuthenticated
        if len(token) > MAX_FRAME_BYTES:
            raise InvalidToken
        user = await self.quota.identify(token)
        if not self.quota.allow_user(user.user_id):
            raise CloseConnection(TOO_MANY, "too many connections")
        return user


async def close_or_abort(send: Any, closing: Awaitable[None], *, is_slow: bool) -> None:
    """Awaits `closing`, and aborts the transport behind the server's `send` if the client does not take even that."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    try:
        await asyncio.wait_for(closing, 0.1 if is_slow else CLOSE_SECONDS)
    except Exception:  # noqa: BLE001 - the client is gone already, or does not read
        if transport is not None:  # uvicorn's: a plain close would wait for the client forever
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


# --- All connections of this process ----------------------------------------------------------------------------------

_consumers: set[SocketConsumer] = set()
_is_draining = False


def is_draining() -> bool:
    return _is_draining


def retry() -> Message:
    """Tells a client when to come back: each at another moment."""
    return {"type": "retry", "afterMs": random.randrange(RETRY_SPREAD_MS)}  # noqa: S311 - no secret


async def drain() -> None:
    """Refuses new connections from now on, and closes all with a hint when to come back."""
    global _is_draining
    _is_draining = True
    for number, consumer in enumerate(tuple(_consumers), 1):
        consumer.writer.send(retry())
        consumer.drop(SERVICE_RESTART, "restarting")
        if number % 200 == 0:
            await asyncio.sleep(0)
    deadline = time.monotonic() + CLOSE_SECONDS / 2
    while _consumers and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
