"""A crowd before real processes: `web`, workers and beats.

WAITING_ROOM_CROWD says how many come (1,500; the full trial is 20,000 and takes five minutes).
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from devtools.embedded import Servers
from tests.support.background import BackgroundProcesses, kill
from tests.support.harness import HALL, Api, Database, assert_books_agree, new_user, wait_until
from tests.support.waiting_room import check, overview, set_policy, status

pytestmark = pytest.mark.slow

CROWD = int(os.environ.get("WAITING_ROOM_CROWD", "1500"))
THRESHOLD, RATE = 500, 100
STAY_SECONDS = 4.5


class Door:
    """Watches who comes in, from outside: a thread that looks at `active:{eventId}` all the time."""

    def __init__(self, redis: Any, api: Api | None = None) -> None:
        self.batches: list[tuple[float, set[str]]] = []  # when, and who was new
        self.most_inside = 0
        self._redis, self._api = redis, api
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._came: dict[str, float] = {}
        self._inside: set[str] = set()

    def __enter__(self) -> "Door":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def admitted(self) -> int:
        return sum(len(new) for _, new in self.batches)

    def came_in(self) -> dict[str, float]:
        return {user: when for when, new in self.batches for user in new}

    def _watch(self) -> None:
        with ThreadPoolExecutor(4) as threads:
            while not self._done.is_set():
                inside = self._redis.smembers(f"active:{HALL}")
                now = time.monotonic()
                self.most_inside = max(self.most_inside, len(inside))
                if new := inside - self._came.keys():
                    self.batches.append((now, new))
                    self._came |= dict.fromkeys(new, now)
                if self._api is not None:  # they shop, and go
                    gone = {user for user in inside & self._came.keys() if now - self._came[user] > STAY_SECONDS}
                    for user in gone - self._inside:
                        threads.submit(self._api.post, f"/queue/leave/{HALL}", user=user)
                    self._inside |= gone
                time.sleep(0.05)


def join(api: Api, crowd: list[str]) -> dict[str, int]:
    """Everybody at once, as fast as they can; the positions they were told."""
    with ThreadPoolExecutor(16) as threads:
        positions = list(threads.map(lambda user: check(api, user)["position"], crowd))
    return dict(zip(crowd, positions, strict=True))


def assert_never_faster_than(rate: float, burst: float, batches: list[tuple[float, set[str]]]) -> None:
    for first in range(len(batches)):
        total = 0
        for when, new in batches[first:]:
            total += len(new)
            assert total <= burst + rate * (when - batches[first][0] + 0.2), "faster than the policy allows"


@pytest.mark.long
def test_a_crowd_comes_in_in_order(web: Api, world: Database, background: BackgroundProcesses, redis) -> None:
    world.settle()
    set_policy(web, isPaused=True, threshold=THRESHOLD, admissionsPerSecond=RATE, burst=RATE, idleSeconds=3600)
    crowd = [new_user() for _ in range(CROWD)]
    started = time.monotonic()
    places = join(web, crowd)
    print(f"\n{CROWD} joined in {time.monotonic() - started:.1f} s")
    assert sorted(places.values()) == list(range(1, CROWD + 1))
    by_place = sorted(crowd, key=places.__getitem__)
    watched = [by_place[CROWD // 2], by_place[-1]]
    foreseen: dict[str, list[tuple[float, int]]] = {user: [] for user in watched}
    for process in ("worker", "beat"):
        background.start(process)
    wait_until(
        lambda: status(web, by_place[0])["isPaused"] and redis.hget(f"queue:state:{HALL}", "round_at"), seconds=30
    )
    with Door(redis, web) as door:
        set_policy(web, isPaused=False)
        give_up = time.monotonic() + 60 + 3 * CROWD / RATE
        while door.admitted < CROWD:
            for user in watched:
                said = status(web, user)
                if said["state"] == "waiting" and said["estimateIsMeasured"]:
                    foreseen[user].append((time.monotonic(), said["estimatedWait"]))
            time.sleep(1)
            assert time.monotonic() < give_up, f"only {door.admitted} have come in"
    took = door.batches[-1][0] - door.batches[0][0]
    print(f"{CROWD} came in within {took:.1f} s, at most {door.most_inside} inside")
    assert door.most_inside <= THRESHOLD
    assert_never_faster_than(RATE, RATE, door.batches)
    ahead = 0
    for _, new in door.batches:  # each batch is the next of the line, without a gap
        assert sorted(places[user] for user in new) == list(range(ahead + 1, ahead + len(new) + 1))
        ahead += len(new)
    came = door.came_in()
    for user in watched:
        errors = [(wait / (came[user] - when)) - 1 for when, wait in foreseen[user] if came[user] - when >= 5]
        worst = max(errors, key=abs)
        print(
            f"place {places[user]}: {len(errors)} estimates, the last off by {errors[-1]:+.0%}, the worst by {worst:+.0%}"
        )
        when, wait = [told for told in foreseen[user] if came[user] - told[0] >= 5][-1]
        assert abs(wait - (came[user] - when)) <= 0.2 * (came[user] - when) + 1  # a tick is a second
    assert overview(web)[0] == 0
    assert_books_agree(HALL)


@pytest.mark.long
def test_killed_doubled_and_flushed_the_rules_hold(
    web: Api, world: Database, background: BackgroundProcesses, redis, redis_server: Servers
) -> None:
    """A worker killed, two beats and two workers, Redis emptied: with a crowd waiting and a crowd inside."""
    world.settle()
    threshold, rate = 50, 20
    set_policy(web, threshold=threshold, admissionsPerSecond=rate, burst=rate, idleSeconds=3600)
    crowd = [new_user() for _ in range(200)]
    with Door(redis) as door:
        answers = {user: check(web, user) for user in crowd}
        doomed = background.start("worker")
        for process in ("worker", "beat", "beat"):
            background.start(process)
        wait_until(lambda: door.admitted >= threshold, seconds=30)
        kill(doomed)
        time.sleep(1.5)
        assert door.most_inside == threshold
        assert_never_faster_than(rate, rate, door.batches)
        for user in crowd:
            answers[user] = status(web, user)
    line = sorted((user for user in crowd if answers[user]["state"] == "waiting"), key=lambda u: answers[u]["position"])
    inside = [user for user in crowd if answers[user]["state"] == "active"]
    assert len(inside) == threshold
    assert len(line) == len(crowd) - threshold
    redis.flushall()
    with Door(redis) as door:
        back: list[Callable[[], dict[str, Any]]] = [
            *(partial(status, web, user, **{"Queue-Ticket": answers[user]["ticket"]}) for user in reversed(line)),
            *(partial(status, web, user, **{"Queue-Pass": answers[user]["pass"]}) for user in inside),
        ]
        for call in back:
            call()
        assert overview(web) == (len(line), threshold)
        assert [status(web, user)["position"] for user in line] == list(range(1, len(line) + 1))
        for user in inside[:10]:
            web.post(f"/queue/leave/{HALL}", user=user)
        wait_until(lambda: overview(web) == (len(line) - 10, threshold), seconds=40)
        assert [status(web, user)["state"] for user in line[:11]] == ["active"] * 10 + ["waiting"]
        assert door.most_inside == threshold
    assert_books_agree(HALL)
