"""Socket.IO for the web client: its events to what the apps have to say. Docs: docs/live.md."""

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.conf import settings
from socketio.exceptions import ConnectionRefusedError as ConnectionRefused

from gateway import presence
from gateway.presence import MAX_ROOMS, Place, Room
from kernel.concurrency.threads import in_thread
from kernel.errors import DomainError, InvalidInput
from kernel.http.auth import InvalidToken, NotAuthenticated, UserNotFound, verify
from kernel.realtime.consumers import REPLACED
from kernel.realtime.hub import hub
from kernel.realtime.publications import Message
from kernel.realtime.quotas import MAX_FRAME
from kernel.realtime.socketio.engine import Connection
from kernel.realtime.socketio.server import Client, Server
from kernel.wire import parse_id
from queueing import followers
from seats.consumers import SeatFeed

NAMESPACE = re.compile(r"/(seats|queue)/([^/]+)/?")
JOINS: dict[str, Room] = {"join-event": "event", "join-seat-selection": "seats", "join-queue": "queue"}
LEAVES: dict[str, Room] = {"leave-event": "event", "leave-seat-selection": "seats", "leave-queue": "queue"}
REFUSED = {NotAuthenticated: "Authentication required", InvalidToken: "Invalid authentication token",
           UserNotFound: "Invalid authentication token"}  # fmt: skip
NEEDS: dict[Room, tuple[str, ...]] = {"event": ("map", "count"), "seats": ("map",), "queue": ("line",)}
# Others are told of seats when they are taken, not when somebody thinks of them; and an open connection is a heartbeat.
IGNORED = {"seat-selection-changed", "heartbeat"}
Leave = Callable[[], None]
Refusal = tuple[str, str]  # code and message


async def listen_to_seats(event_id: UUID, listener: Any) -> Leave:
    """Raises SeatMapEventNotFound."""
    feed = SeatFeed(event_id)
    if not hub.knows(feed.channel):
        await feed.version(redis_was_restarted=False)  # no subscription for events that do not exist
    leave, _ = await hub.listen(feed, listener)
    return leave


async def user_of(connection: Connection, auth: Any) -> str:
    """Raises what a client that may not connect is told."""
    token = auth.get("token") if isinstance(auth, dict) else None
    try:
        if not token:
            raise NotAuthenticated
        if not isinstance(token, str) or len(token) > MAX_FRAME:
            raise InvalidToken
        user = await in_thread(verify, token.removeprefix("Bearer "))
    except DomainError as refused:
        raise ConnectionRefused(REFUSED.get(type(refused), "Service unavailable")) from refused
    if not connection.guest.may_be(user.user_id):
        raise ConnectionRefused("Too many connections")
    return user.user_id


class OneEvent(Client):
    """The plan's namespaces: `/seats/<eventId>`, public as the seat map is, and `/queue/<eventId>` with a token."""

    def __init__(self, connection: Connection, namespace: str, kind: str, event_id: str) -> None:
        super().__init__(connection, namespace)
        self._kind, self._event_id = kind, event_id
        self._leave: Leave | None = None
        self._is_replaced = False

    async def come(self, auth: Any) -> None:
        try:
            event_id = parse_id(self._event_id, "")
        except InvalidInput as error:
            raise ConnectionRefused("Invalid event ID format") from error
        user_id = await user_of(self.connection, auth) if self._kind == "queue" else ""
        try:
            if self._kind == "seats":
                leave = await listen_to_seats(event_id, self)
            else:
                leave = await followers.follow(event_id=event_id, user_id=user_id, outbox=self)
        except DomainError as refused:
            raise ConnectionRefused(refused.code) from refused
        if self.is_gone:
            leave()
        self._leave = leave

    def close_with(self, code: int, reason: str) -> None:
        if code != REPLACED:
            super().close_with(code, reason)
        elif not self._is_replaced:
            self._is_replaced = True
            self.tell(replaced())
            self.send_away()

    async def left(self, *, wanted_to: bool) -> None:  # noqa: ARG002 - a Client's
        if self._leave is not None:
            self._leave()


def replaced() -> Message:
    return {"type": "error", "code": "REPLACED", "message": "다른 창에서 대기열을 보고 있습니다."}


class InLine:
    """A client in a line, to those who look after the line."""

    def __init__(self, client: "WebClient", event_id: UUID) -> None:
        self._client, self._event_id = client, event_id
        self.hear, self.tell = client.hear, client.tell

    def close_with(self, code: int, reason: str) -> None:
        if code != REPLACED:
            self._client.close_with(code, reason)
            return
        self._client.leave("queue", self._event_id)
        self._client.tell(replaced())


class WebClient(Client):
    """The default namespace: a signed-in user who joins rooms of events."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, "/")
        self.user_id = ""
        self._rooms: dict[Place, None] = {}
        self._leaves: dict[tuple[str, UUID], Leave] = {}  # by what is listened to: rooms may share it

    async def come(self, auth: Any) -> None:
        self.user_id = await user_of(self.connection, auth)

    async def welcomed(self) -> None:
        """Who has lost the connection is where they were before."""
        restored: list[Place] = []
        for room, event_id in await presence.lost(self.user_id):
            if await self._join(room, event_id) is None:
                restored.append((room, event_id))
        if restored:
            places = [{"room": room, "eventId": event_id} for room, event_id in restored]
            event_ids = list(dict.fromkeys(event_id for _, event_id in restored))
            self.tell({"type": "session-restored", "eventIds": event_ids, "rooms": places})

    async def event(self, name: str, *args: Any) -> Any:
        said = args[0] if args else None
        refusal: Refusal | None = "UNKNOWN_MESSAGE", "알 수 없는 메시지입니다."
        if name in JOINS or name in LEAVES:
            try:
                event_id = parse_id(said.get("eventId") if isinstance(said, dict) else said, "Invalid event ID format")
            except InvalidInput as error:
                refusal = error.code, str(error.message)
            else:
                refusal = await (
                    self._join(JOINS[name], event_id) if name in JOINS else self._quit(LEAVES[name], event_id)
                )
        elif name in IGNORED:
            refusal = None
        if refusal is None:
            return {"success": True}
        code, message = refusal
        self.tell({"type": "error", "code": code, "message": message})
        return {"success": False, "code": code, "message": message}

    async def _join(self, room: Room, event_id: UUID) -> Refusal | None:
        """Twice is the same as once."""
        if (room, event_id) not in self._rooms:
            if len(self._rooms) >= MAX_ROOMS:
                return "TOO_MANY_ROOMS", "너무 많은 이벤트를 보고 있습니다."
            try:
                for what in NEEDS[room]:
                    if (what, event_id) not in self._leaves:
                        self._leaves[what, event_id] = await self._listen(what, event_id)
            except DomainError as refused:
                return refused.code, str(refused.message)
            self._rooms[room, event_id] = None
            if self.is_gone:  # meanwhile
                self.leave(room, event_id)
                return None
        if room == "event":
            presence.tell_count(event_id, self)
        return None

    async def _quit(self, room: Room, event_id: UUID) -> None:
        self.leave(room, event_id)
        await presence.forget(self.user_id, (room, event_id))

    async def _listen(self, what: str, event_id: UUID) -> Leave:
        if what == "line":
            return await followers.follow(event_id=event_id, user_id=self.user_id, outbox=InLine(self, event_id))
        if what == "map":
            return await listen_to_seats(event_id, self)
        return await presence.enter(event_id, self)

    def leave(self, room: Room, event_id: UUID) -> None:
        self._rooms.pop((room, event_id), None)
        still = {what for other, of in self._rooms if of == event_id for what in NEEDS[other]}
        for what in NEEDS[room]:
            if what not in still and (leave := self._leaves.pop((what, event_id), None)):
                leave()

    async def left(self, *, wanted_to: bool) -> None:
        places = list(self._rooms)
        for room, event_id in places:
            self.leave(room, event_id)
        if places and not wanted_to:
            await presence.remember(self.user_id, places)


def client(connection: Connection, namespace: str) -> Client | None:
    if namespace == "/":
        return WebClient(connection)
    found = NAMESPACE.fullmatch(namespace)
    return OneEvent(connection, namespace, *found.groups()) if found else None


server = Server(client, origins="*" if settings.CORS_ALLOW_ALL_ORIGINS else settings.CORS_ALLOWED_ORIGINS)
