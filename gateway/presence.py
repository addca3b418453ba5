"""Who is in the room of an event, over all processes, and where those were who have lost their connection.

All of it can be lost: a count is right again within seconds, and clients join again by themselves.
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

from kernel.concurrency.threads import in_thread
from kernel.realtime.hub import Listener
from kernel.realtime.publications import Message, News
from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import execute
from kernel.redis.keys import tagged_key

Room = Literal["event", "seats", "queue"]
Place = tuple[Room, UUID]

COUNT_SECONDS = 2.0
STALE_SECONDS = 15.0  # a process that has not counted for so long is gone
REMEMBERED_SECONDS = 300
MAX_ROOMS = 20  # of one client

_process = f"{os.getpid()}-{uuid4().hex[:8]}"


# --- How many are in a room -------------------------------------------------------------------------------------------


class _Room:
    def __init__(self) -> None:
        self.here: set[Listener] = set()
        self.elsewhere = 0
        self.told = -1

    def news(self, event_id: UUID) -> News:
        count = len(self.here) + self.elsewhere
        message: Message = {"type": "room-info", "eventId": event_id, "userCount": count}
        return News([message])


_rooms: dict[UUID, _Room] = {}
_counting: asyncio.Task[None] | None = None


async def enter(event_id: UUID, listener: Listener) -> Callable[[], None]:
    """Counts it as one who is in the event's room, until what is returned is called.

    It hears how many they are whenever that changes.
    """
    global _counting
    is_new = event_id not in _rooms
    room = _rooms.setdefault(event_id, _Room())
    room.here.add(listener)
    if is_new:
        await _count([event_id])
    if _counting is None or _counting.done():
        _counting = asyncio.create_task(_count_on(), context=Context())  # not the first listener's
    return lambda: room.here.discard(listener)


def tell_count(event_id: UUID, listener: Listener) -> None:
    if room := _rooms.get(event_id):
        listener.hear(room.news(event_id))


async def _count_on() -> None:
    while _rooms:
        await asyncio.sleep(COUNT_SECONDS)
        await _count(list(_rooms))
        for event_id, room in list(_rooms.items()):
            count = len(room.here) + room.elsewhere
            if count != room.told:
                room.told = count
                news = room.news(event_id)
                for listener in tuple(room.here):
                    listener.hear(news)
            if not room.here:
                del _rooms[event_id]


async def _count(event_ids: Sequence[UUID]) -> None:
    here = {event_id: len(_rooms[event_id].here) for event_id in event_ids}
    with suppress(RedisUnavailable):
        elsewhere = await in_thread(execute, lambda redis: _exchange(redis, here))
        for event_id, count in elsewhere.items():
            if event_id in _rooms:
                _rooms[event_id].elsewhere = count


def _exchange(redis: "Redis", here: dict[UUID, int]) -> dict[UUID, int]:
    """Says how many are here, and returns how many are elsewhere."""
    now = time.time()
    pipeline = redis.pipeline(transaction=False)
    for event_id, count in here.items():
        key = tagged_key("room:{}", event_id)
        if count:
            pipeline.hset(key, _process, f"{count} {now}")
        else:
            pipeline.hdel(key, _process)
        pipeline.expire(key, 60)
        pipeline.hgetall(key)
    elsewhere = {}
    for event_id, counts in zip(here, pipeline.execute()[2::3], strict=True):
        others = [said.split() for process, said in counts.items() if process.decode() != _process]
        elsewhere[event_id] = sum(int(count) for count, at in others if now - float(at) < STALE_SECONDS)
    return elsewhere


# --- Who has lost the connection --------------------------------------------------------------------------------------


def _key(user_id: str) -> str:
    return f"rooms:{user_id}"


async def remember(user_id: str, places: Sequence[Place]) -> None:
    """Where a client was that has lost its connection."""
    key, now = _key(user_id), time.time()

    def write(redis: "Redis") -> None:
        pipeline = redis.pipeline(transaction=False)
        pipeline.zadd(key, {f"{room}:{event_id}": now for room, event_id in places})
        pipeline.expire(key, REMEMBERED_SECONDS)
        pipeline.execute()

    with suppress(RedisUnavailable):
        await in_thread(execute, write)


async def forget(user_id: str, place: Place) -> None:
    """It has left on its own account."""
    with suppress(RedisUnavailable):
        await in_thread(execute, lambda redis: redis.zrem(_key(user_id), ":".join(map(str, place))))


async def lost(user_id: str) -> list[Place]:
    """Where this user's clients were that have lost their connection, the latest first."""
    since = time.time() - REMEMBERED_SECONDS
    try:
        found = await in_thread(
            execute, lambda redis: redis.zrevrangebyscore(_key(user_id), "+inf", since, start=0, num=MAX_ROOMS)
        )
    except RedisUnavailable:
        return []
    places = [place.decode().partition(":") for place in cast(list[bytes], found)]
    return [(cast(Room, room), UUID(event_id)) for room, _, event_id in places if room in get_args(Room)]
