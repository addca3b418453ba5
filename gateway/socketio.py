"""Socket.IO for the web client: its events, translated to subscriptions of the apps. Docs: docs/live.md."""

import re
from collections.abc import Callable
from typing import Any, Literal
from uuid import UUID

from django.conf import settings
from socketio.exceptions import ConnectionRefusedError as ConnectionRefused

from gateway import presence
from gateway.presence import MAX_ROOMS, Room, RoomKind
from kernel.errors import DomainError, InvalidInput
from kernel.http.auth import InvalidToken, NotAuthenticated, UserNotFound
from kernel.realtime.channel import Message
from kernel.realtime.close_codes import REPLACED
from kernel.realtime.quotas import MAX_FRAME_BYTES
from kernel.realtime.socketio.engine import EngineConnection
from kernel.realtime.socketio.server import NamespaceClient, SocketIOServer
from kernel.redis.rate_limits import RateLimited
from kernel.wire import parse_id
from queueing import subscriptions as queue_subscriptions
from seats import subscriptions as seat_subscriptions

EVENT_NAMESPACE = re.compile(r"/(seats|queue)/([^/]+)/?")
JOIN_EVENTS: dict[str, RoomKind] = {"join-event": "event", "join-seat-selection": "seats", "join-queue": "queue"}
LEAVE_EVENTS: dict[str, RoomKind] = {"leave-event": "event", "leave-seat-selection": "seats", "leave-queue": "queue"}
# Other clients are told of seats when they are reserved, not while somebody selects them; an open connection is a heartbeat.
IGNORED_EVENTS = {"seat-selection-changed", "heartbeat"}
CONNECT_ERRORS = {NotAuthenticated: "Authentication required", InvalidToken: "Invalid authentication token",
                  UserNotFound: "Invalid authentication token", RateLimited: "Too many connections"}  # fmt: skip
MAX_SID = 64  # characters; ours have 20
Topic = Literal["seats", "queue", "presence"]
TOPICS: dict[RoomKind, tuple[Topic, ...]] = {"event": ("seats", "presence"), "seats": ("seats",), "queue": ("queue",)}
Cancel = Callable[[], None]
ErrorReply = tuple[str, str]  # code and message


async def authenticate(connection: EngineConnection, auth: Any) -> str:
    """The user's id. Raises ConnectionRefused."""
    token = auth.get("token") if isinstance(auth, dict) else None
    try:
        if not token:
            raise NotAuthenticated
        if not isinstance(token, str) or len(token) > MAX_FRAME_BYTES:
            raise InvalidToken
        user = await connection.quota.identify(token.removeprefix("Bearer "))
    except DomainError as error:
        raise ConnectionRefused(CONNECT_ERRORS.get(type(error), "Service unavailable")) from error
    if not connection.quota.allow_user(user.user_id):
        raise ConnectionRefused("Too many connections")
    return user.user_id


async def admit_visitor(connection: EngineConnection, auth: Any) -> None:
    """Of a namespace that needs no token; with a valid one it is the user's. Raises ConnectionRefused."""
    token = auth.get("token") if isinstance(auth, dict) else None
    readable = token if isinstance(token, str) and len(token) <= MAX_FRAME_BYTES else ""
    try:
        await connection.quota.admit_visitor(readable.removeprefix("Bearer "))
    except RateLimited as error:
        raise ConnectionRefused(CONNECT_ERRORS[RateLimited]) from error


def replaced() -> Message:
    return {"type": "error", "code": "REPLACED", "message": "다른 창에서 대기열을 보고 있습니다."}


def for_existing_clients(messages: list[Message]) -> list[Message]:
    """With the events that the existing web clients listen to, each behind the messages which it repeats."""
    translated: list[Message] = []
    released: Message | None = None  # of the messages just before
    for message in messages:
        translated.append(message)
        match message["type"]:
            case "seat-released":
                if released is None:
                    released = {"type": "seats-released", "eventId": message["eventId"], "seatIds": []}
                released["seatIds"].append(message["seatId"])
                continue
            case "seat-locked" | "seat-sold":
                selected = {"type": "seat-selected", "seatId": message["seatId"], "status": message["status"]}
                translated.append(selected)
        if released is not None:
            translated.insert(len(translated) - 1, released)
            released = None
    return translated if released is None else [*translated, released]


class EventNamespaceClient(NamespaceClient):
    """In `/seats/<eventId>`, public as the seat map is, or in `/queue/<eventId>`, with a token."""

    def __init__(self, connection: EngineConnection, namespace: str, kind: str, event_id: str) -> None:
        super().__init__(connection, namespace)
        self._kind, self._event_id = kind, event_id
        self._cancel: Cancel | None = None
        self._is_replaced = False

    async def on_connect(self, auth: Any) -> None:
        try:
            event_id = parse_id(self._event_id, "")
        except InvalidInput as error:
            raise ConnectionRefused("Invalid event ID format") from error
        user_id = await authenticate(self.connection, auth) if self._kind == "queue" else ""
        if self._kind == "seats":
            await admit_visitor(self.connection, auth)
        try:
            if self._kind == "seats":
                cancel = (await seat_subscriptions.subscribe(event_id=event_id, subscriber=self)).cancel
            else:
                cancel = await queue_subscriptions.subscribe(event_id=event_id, user_id=user_id, recipient=self)
        except DomainError as error:
            raise ConnectionRefused(error.code) from error
        if self.is_gone:  # meanwhile
            cancel()
        self._cancel = cancel

    def drop(self, code: int, reason: str) -> None:
        if code != REPLACED:
            super().drop(code, reason)
        elif not self._is_replaced:
            self._is_replaced = True
            self.send(replaced())
            self.disconnect()

    async def on_disconnect(self, *, by_client: bool) -> None:  # noqa: ARG002 - a NamespaceClient's
        if self._cancel is not None:
            self._cancel()


class QueueRoomMember:
    """A client in the queue room of an event. Replaced by a newer one, it leaves the room, not the connection."""

    def __init__(self, client: "RootNamespaceClient", event_id: UUID) -> None:
        self._client, self._event_id = client, event_id
        self.on_publication, self.send = client.on_publication, client.send

    def drop(self, code: int, reason: str) -> None:
        if code != REPLACED:
            self._client.drop(code, reason)
            return
        self._client.leave("queue", self._event_id)
        self._client.send(replaced())


class RootNamespaceClient(NamespaceClient):
    """In the default namespace: a signed-in user who joins rooms of events."""

    def __init__(self, connection: EngineConnection) -> None:
        super().__init__(connection, "/")
        self.user_id = self._previous_sid = ""
        self._rooms: dict[Room, None] = {}
        self._subscriptions: dict[tuple[Topic, UUID], Cancel] = {}  # rooms may share one

    def translate(self, messages: list[Message]) -> list[Message]:
        return for_existing_clients(messages)

    async def on_connect(self, auth: Any) -> None:
        self.user_id = await authenticate(self.connection, auth)
        previous_sid = auth.get("pid")
        if isinstance(previous_sid, str) and len(previous_sid) <= MAX_SID:
            self._previous_sid = previous_sid

    async def on_connected(self) -> None:
        """Joins the rooms of the connection that this client has lost."""
        restored: list[Room] = []
        for kind, event_id in await presence.take_rooms(self.user_id, self._previous_sid):
            if await self._join(kind, event_id) is None:
                restored.append((kind, event_id))
        if restored:
            rooms = [{"room": kind, "eventId": event_id} for kind, event_id in restored]
            event_ids = list(dict.fromkeys(event_id for _, event_id in restored))
            self.send({"type": "session-restored", "eventIds": event_ids, "rooms": rooms})

    async def on_event(self, name: str, *args: Any) -> Any:
        error = await self._handle(name, args[0] if args else None)
        if error is None:
            return {"success": True}
        code, message = error
        self.send({"type": "error", "code": code, "message": message})
        return {"success": False, "code": code, "message": message}

    async def _handle(self, name: str, body: Any) -> ErrorReply | None:
        if name in IGNORED_EVENTS:
            return None
        if name not in JOIN_EVENTS and name not in LEAVE_EVENTS:
            return "UNKNOWN_MESSAGE", "알 수 없는 메시지입니다."
        try:
            event_id = parse_id(body.get("eventId") if isinstance(body, dict) else body, "Invalid event ID format")
        except InvalidInput as error:
            return error.code, str(error.message)
        if name in JOIN_EVENTS:
            return await self._join(JOIN_EVENTS[name], event_id)
        self.leave(LEAVE_EVENTS[name], event_id)
        return None

    async def _join(self, kind: RoomKind, event_id: UUID) -> ErrorReply | None:
        """Joining a room again changes nothing."""
        if (kind, event_id) not in self._rooms:
            if len(self._rooms) >= MAX_ROOMS:
                return "TOO_MANY_ROOMS", "너무 많은 이벤트를 보고 있습니다."
            try:
                for topic in TOPICS[kind]:
                    if (topic, event_id) not in self._subscriptions:
                        self._subscriptions[topic, event_id] = await self._subscribe(topic, event_id)
            except DomainError as error:
                return error.code, str(error.message)
            self._rooms[kind, event_id] = None
            if self.is_gone:  # meanwhile
                self.leave(kind, event_id)
                return None
        if kind == "event":
            presence.send_count(event_id, self)
        return None

    async def _subscribe(self, topic: Topic, event_id: UUID) -> Cancel:
        match topic:
            case "seats":
                return (await seat_subscriptions.subscribe(event_id=event_id, subscriber=self)).cancel
            case "queue":
                member = QueueRoomMember(self, event_id)
                return await queue_subscriptions.subscribe(event_id=event_id, user_id=self.user_id, recipient=member)
            case "presence":
                return await presence.join(event_id, self)

    def leave(self, kind: RoomKind, event_id: UUID) -> None:
        self._rooms.pop((kind, event_id), None)
        still_needed = {topic for other, of in self._rooms if of == event_id for topic in TOPICS[other]}
        for topic in TOPICS[kind]:
            if topic not in still_needed and (cancel := self._subscriptions.pop((topic, event_id), None)):
                cancel()

    async def on_disconnect(self, *, by_client: bool) -> None:
        rooms = list(self._rooms)
        for kind, event_id in rooms:
            self.leave(kind, event_id)
        if rooms and not by_client:
            await presence.save_rooms(self.user_id, self.sid, rooms)


def make_client(connection: EngineConnection, namespace: str) -> NamespaceClient | None:
    if namespace == "/":
        return RootNamespaceClient(connection)
    matched = EVENT_NAMESPACE.fullmatch(namespace)
    return EventNamespaceClient(connection, namespace, *matched.groups()) if matched else None


server = SocketIOServer(make_client, origins="*" if settings.CORS_ALLOW_ALL_ORIGINS else settings.CORS_ALLOWED_ORIGINS)
