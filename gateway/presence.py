"""Presence: how many clients are in the room of an event, over all processes; and the rooms of clients that were lost.

All of it may be lost: a count is right again within seconds, and clients join again by themselves.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context
from operator import itemgetter
from typing import Literal, cast, get_args
from uuid import UUID, uuid4

from redis import Redis

from kernel.concurrency.threads import run_in_thread
from kernel.realtime.channel import Message, Publication, Subscriber
from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import execute
from kernel.redis.scripts import tagged_key

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


# A hash for each user: of each lost connection, by its sid, the moment and the rooms; "" if it has come back already.


def _session_key(user_id: str) -> str:
    return f"session:{user_id}"


async def save_rooms(user_id: str, sid: str, rooms: Sequence[Room]) -> None:
    """The rooms of a connection that was lost, unless its client has come back before that was noticed."""
    key, lost = _session_key(user_id), json.dumps([time.time(), [f"{kind}:{event_id}" for kind, event_id in rooms]])

    def write(redis: "Redis") -> None:
        if redis.hsetnx(key, sid, lost):
            redis.expire(key, SESSION_SECONDS)
        else:
            redis.hdel(key, sid)

    with suppress(RedisUnavailable):
        await run_in_thread(execute, write)


async def take_rooms(user_id: str, previous_sid: str) -> list[Room]:
    """The rooms of a lost connection of this user, once: of the one with this sid.

    Without a sid of the latest one: of a client that does not tell, or of a page that was loaded again.
    """
    key, since = _session_key(user_id), time.time() - SESSION_SECONDS

    def take(redis: "Redis") -> list[str]:
        if previous_sid:
            lost = redis.hget(key, previous_sid)
            if not lost:
                redis.hset(key, previous_sid, "")
                redis.expire(key, SESSION_SECONDS)
                return []
            candidates = [(previous_sid, *json.loads(lost))]
        else:
            kept = cast(dict[bytes, bytes], redis.hgetall(key))
            found = {sid.decode(): json.loads(lost) for sid, lost in kept.items() if lost}
            candidates = sorted(((sid, *lost) for sid, lost in found.items()), key=itemgetter(1), reverse=True)
        for sid, at, rooms in candidates:
            if redis.hdel(key, sid) and at >= since:  # else another connection was faster
                return cast(list[str], rooms)
        return []

    try:
        rooms = await run_in_thread(execute, take)
    except RedisUnavailable:
        return []
    split = [room.partition(":") for room in rooms[:MAX_ROOMS]]
    return [(cast(RoomKind, kind), UUID(event_id)) for kind, _, event_id in split if kind in get_args(RoomKind)]
