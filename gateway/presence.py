"""Presence: how many clients are in the room of an event, over all processes; and the rooms of clients that were lost.

All of it may be lost: a count is right again within seconds, and clients join again by themselves.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Literal, cast, get_args
from uuid import UUID, uuid4

from redis import Redis

from kernel.concurrency.threads import run_in_thread
from kernel.realtime.channel import Subscriber
from kernel.realtime.publications import Message, Publication
from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import execute
from kernel.redis.keys import tagged_key

RoomKind = Literal["event", "seats", "queue"]
Room = tuple[RoomKind, UUID]

COUNT_SECONDS = 2.0
STALE_SECONDS = 15.0  # a process that has not counted for so long is gone
SESSION_SECONDS = 300  # for which the rooms of a lost client are kept
MAX_ROOMS = 20  # of one client

_process = f"{os.getpid()}-{uuid4().hex[:8]}"


# --- How many are present ---------------------------------------------------------------------------------------------


class EventPresence:
    """The clients in the room of one event."""

    def __init__(self) -> None:
        self.members: set[Subscriber] = set()  # in this process
        self.members_elsewhere = 0
        self.published_count = -1

    @property
    def count(self) -> int:
        return len(self.members) + self.members_elsewhere

    def publication(self, event_id: UUID) -> Publication:
        message: Message = {"type": "room-info", "eventId": event_id, "userCount": self.count}
        return Publication([message])


_presences: dict[UUID, EventPresence] = {}
_counting: asyncio.Task[None] | None = None


async def join(event_id: UUID, member: Subscriber) -> Callable[[], None]:
    """Counts `member` until the returned function is called. It gets the count whenever that changes."""
    global _counting
    is_new = event_id not in _presences
    presence = _presences.setdefault(event_id, EventPresence())
    presence.members.add(member)
    if is_new:
        await _exchange_counts([event_id])
    if _counting is None or _counting.done():
        # A context of its own: not that of the first client, whose request id it has.
        _counting = asyncio.create_task(_publish_counts(), context=Context())
    return lambda: presence.members.discard(member)


def send_count(event_id: UUID, member: Subscriber) -> None:
    if presence := _presences.get(event_id):
        member.on_publication(presence.publication(event_id))


async def _publish_counts() -> None:
    while _presences:
        await asyncio.sleep(COUNT_SECONDS)
        await _exchange_counts(list(_presences))
        for event_id, presence in list(_presences.items()):
            if presence.count != presence.published_count:
                presence.published_count = presence.count
                publication = presence.publication(event_id)
                for member in tuple(presence.members):
                    member.on_publication(publication)
            if not presence.members:
                del _presences[event_id]


async def _exchange_counts(event_ids: Sequence[UUID]) -> None:
    here = {event_id: len(_presences[event_id].members) for event_id in event_ids}
    with suppress(RedisUnavailable):
        elsewhere = await run_in_thread(execute, lambda redis: _write_and_read_counts(redis, here))
        for event_id, count in elsewhere.items():
            if event_id in _presences:
                _presences[event_id].members_elsewhere = count


def _write_and_read_counts(redis: "Redis", here: dict[UUID, int]) -> dict[UUID, int]:
    """Writes this process' counts, and returns the sums of the others'."""
    now = time.time()
    pipeline = redis.pipeline(transaction=False)
    for event_id, count in here.items():
        key = tagged_key("presence:{}", event_id)
        if count:
            pipeline.hset(key, _process, f"{count} {now}")
        else:
            pipeline.hdel(key, _process)
        pipeline.expire(key, 60)
        pipeline.hgetall(key)
    elsewhere = {}
    for event_id, counts in zip(here, pipeline.execute()[2::3], strict=True):
        others = [value.split() for process, value in counts.items() if process.decode() != _process]
        elsewhere[event_id] = sum(int(count) for count, at in others if now - float(at) < STALE_SECONDS)
    return elsewhere


# --- Rooms of clients that have lost the connection -------------------------------------------------------------------


def _session_key(user_id: str) -> str:
    return f"session:{user_id}"


async def save_rooms(user_id: str, rooms: Sequence[Room]) -> None:
    """The rooms of a client that has lost its connection."""
    key, now = _session_key(user_id), time.time()

    def write(redis: "Redis") -> None:
        pipeline = redis.pipeline(transaction=False)
        pipeline.zadd(key, {f"{kind}:{event_id}": now for kind, event_id in rooms})
        pipeline.expire(key, SESSION_SECONDS)
        pipeline.execute()

    with suppress(RedisUnavailable):
        await run_in_thread(execute, write)


async def forget_room(user_id: str, room: Room) -> None:
    """The client has left the room itself."""
    with suppress(RedisUnavailable):
        await run_in_thread(execute, lambda redis: redis.zrem(_session_key(user_id), ":".join(map(str, room))))


async def saved_rooms(user_id: str) -> list[Room]:
    """The rooms of this user's clients that have lost their connection, the latest first."""
    since = time.time() - SESSION_SECONDS
    try:
        members = await run_in_thread(
            execute, lambda redis: redis.zrevrangebyscore(_session_key(user_id), "+inf", since, start=0, num=MAX_ROOMS)
        )
    except RedisUnavailable:
        return []
    rooms = [member.decode().partition(":") for member in cast(list[bytes], members)]
    return [(cast(RoomKind, kind), UUID(event_id)) for kind, _, event_id in rooms if kind in get_args(RoomKind)]
