"""Crowds at the waiting room: many at once, by Redis' own clock, and what they cost. The numbers are printed (pytest -s)."""

import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from queueing import store
from queueing.states import AdmissionRound, Visitor
from tests.support.harness import HALL, Answer, Api, Database, at_once, new_user
from tests.support.waiting_room_clock import SECOND, Room, policy_fields

pytestmark = pytest.mark.slow

TRIALS = 20
THRESHOLD = 1000  # the default


@pytest.fixture
def room(redis, monkeypatch) -> Room:
    redis.flushall()
    monkeypatch.setattr(store, "_last_seen_queues", {})
    return Room(redis, policy_fields())


def join(room: Room, users: list[str]) -> list[Any]:
    """Each by its own run of the script, as `check` makes it, but without waiting for each answer."""
    room.look()  # Redis knows the policy
    answers = []
    for first in range(0, len(users), 1000):
        pipeline = room.redis.pipeline(transaction=False)
        for user in users[first : first + 1000]:
            visitor = Visitor(uuid.UUID(user))
            arguments = store.check_in_args(visitor, "check", None) | {"lost_epoch": "", "rebuild_us": 0}
            keys = store.keys_of(room.event_id) | {"rate_key": store.rate_key(room.event_id, user)}
            store._check_in.run(pipeline, keys=keys, args=arguments)
        answers += map(store._check_in.parse, pipeline.execute())
    return answers


# --- The threshold ----------------------------------------------------------------------------------------------------


def put_inside(redis, event_id: object, users: list[str]) -> None:
    """These and nobody else; nobody stands in line, and the bucket of admissions is full."""
    in_ten_minutes = (time.time() + 600) * SECOND
    pipeline = redis.pipeline(transaction=True)
    pipeline.delete(
        *(f"{kind}:{event_id}" for kind in ("queue", "queue:seen", "active", "active:until", "active:seen"))
    )
    pipeline.hdel(f"queue:state:{event_id}", "tokens", "tokens_at")
    pipeline.sadd(f"active:{event_id}", *users)
    pipeline.zadd(f"active:until:{event_id}", dict.fromkeys(users, in_ten_minutes))
    pipeline.zadd(f"active:seen:{event_id}", dict.fromkeys(users, time.time() * SECOND))
    pipeline.execute()


def test_of_50_who_check_at_once_10_are_let_in_when_990_are_inside(web: Api, world: Database, redis) -> None:
    for _ in range(TRIALS):
        put_inside(redis, HALL, [new_user() for _ in range(THRESHOLD - 10)])
        checks = [partial(web.post, f"/queue/check/{HALL}", user=new_user()) for _ in range(50)]
        answers: list[Answer] = at_once(checks)
        assert {answer.status for answer in answers} == {200}
        assert Counter(answer.json["queued"] for answer in answers) == {False: 10, True: 40}
        assert sorted(answer.json["position"] for answer in answers if answer.json["queued"]) == list(range(1, 41))
        assert redis.scard(f"active:{HALL}") == THRESHOLD


def test_counting_before_letting_in_would_let_in_too_many(redis) -> None:
    """The same, with a check that asks how many are inside, and then acts."""

    def check(user: str) -> None:
        if redis.scard("active:naive") < THRESHOLD:
            redis.sadd("active:naive", user)

    inside = []
    for _ in range(TRIALS):
        redis.delete("active:naive")
        redis.sadd("active:naive", *range(THRESHOLD - 10))
        at_once([partial(check, new_user()) for _ in range(50)])
        inside.append(redis.scard("active:naive"))
    assert max(inside) > THRESHOLD


# --- The order --------------------------------------------------------------------------------------------------------


def test_places_from_eight_threads_have_no_gap_and_no_tie(room: Room) -> None:
    room.policy |= {"threshold": 0}
    each, threads = 400, 8
    room.visit(new_user())

    def join_many() -> list[tuple[int, int]]:
        found = [room.visit(new_user()) for _ in range(each)]
        return [(one.position, one.score) for one in found]

    taken = sorted(one for found in at_once([join_many] * threads) for one in found)
    assert [position for position, _ in taken] == list(range(2, 2 + each * threads))
    places = [place for _, place in taken]
    assert places == sorted(set(places))


def test_a_thousand_in_one_batch_stand_as_they_came(room: Room) -> None:
    """Sent together, they are run within a few milliseconds."""
    room.policy |= {"threshold": 0}
    users = [new_user() for _ in range(1000)]
    answers = join(room, users)
    assert [answer["position"] for answer in answers] == list(range(1, 1001))
    assert room.line() == users
    in_a_millisecond = Counter(answer["score"] // 1000 for answer in answers)
    assert max(in_a_millisecond.values()) > 1


# --- The rate ---------------------------------------------------------------------------------------------------------


def test_two_beats_as_fast_as_they_can(room: Room) -> None:
    """With people who buy as soon as they are in, so that there is always room for some."""
    rate, burst, threshold, seconds = 300, 100, 200, 2.0
    room.policy |= {"threshold": 0, "rate": rate, "burst": burst}
    users = [new_user() for _ in range(3000)]
    join(room, users)
    room.change(threshold=threshold)
    started, ended = time.monotonic(), threading.Event()

    def beat() -> list[AdmissionRound]:
        ticks = []
        while time.monotonic() < started + seconds:
            ticks.append(room.tick())
        return ticks

    def buy() -> None:
        while not ended.is_set():
            for user in room.redis.srandmember(f"active:{room.event_id}", 20):
                room.leave(user, "bought")

    with ThreadPoolExecutor(1) as buyers:
        buying = buyers.submit(buy)
        both = at_once([beat, beat])
        ended.set()
        buying.result()

    assert all(tick.active <= threshold for ticks in both for tick in ticks)
    assert all(len(ticks) > 1 for ticks in both)
    ticks = sorted((tick for ticks in both for tick in ticks if tick.admitted), key=lambda tick: tick.admitted[0][1])
    admitted = [user for tick in ticks for user, _, _ in tick.admitted]
    assert admitted == users[: len(admitted)]  # strictly in order, nobody twice
    assert len(admitted) > threshold  # places were freed and given again
    most, total, least = max(rate, burst), 0.0, 0.0
    for tick in ticks:
        allowed = rate * tick.admitted[0][2] / SECOND  # by the moment of the tick, and a constant
        least = min(least or total - allowed, total - allowed)
        total += len(tick.admitted)
        assert total - allowed - least <= most + 1e-3  # in the worst of all intervals that end here


# --- The cost ---------------------------------------------------------------------------------------------------------


def cpu_ms(room: Room) -> float:
    """What Redis has used of a processor: on a busy machine time alone would say little."""
    used = room.redis.info("cpu")
    return (used["used_cpu_user"] + used["used_cpu_sys"]) * 1000


def test_what_a_line_of_100000_costs(room: Room) -> None:
    people = 100_000
    room.policy |= {"threshold": 0}
    room.look()
    before, now = room.redis.info("memory")["used_memory"], int(time.time() * SECOND)
    for first in range(0, people, 1000):  # as check_in.lua does it, which would take longer
        users = [new_user() for _ in range(1000)]
        room.redis.zadd(f"queue:{room.event_id}", {user: now + first + n for n, user in enumerate(users)})
        room.redis.zadd(f"queue:seen:{room.event_id}", dict.fromkeys(users, now))
    bytes_each = (room.redis.info("memory")["used_memory"] - before) / people

    spent = []
    for n in range(1, 6):
        room.redis.hset(f"queue:state:{room.event_id}", "tokens", 1000)
        room.tick()
        before = cpu_ms(room)
        room.change(threshold=1000 * n)
        assert len(room.tick().admitted) == 1000
        spent.append(cpu_ms(room) - before)
    on_hit = ", ".join(f"{ms:.1f}" for ms in spent)
    print(f"\na place in line takes {bytes_each:.0f} bytes; to admit 1,000 of 100,000 takes Redis {on_hit} ms")
    assert bytes_each < 400
    assert min(spent) < 50  # 20 are aimed at, on a machine that does nothing else
