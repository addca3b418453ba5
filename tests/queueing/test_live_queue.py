"""The line over WebSockets: who waits sees it move, and only who is let in is told so."""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.harness import HALL, STANDING, Api, Database, new_user, seat, token, wait_until
from tests.support.live import Realtime, RecordingSocket, running_realtime
from tests.support.waiting_room import store_policy, tick_hall, tick_until, wait_in_line

pytestmark = pytest.mark.slow

EVENT = uuid.UUID(HALL)


@pytest.fixture(scope="module")
def process(database_url: str, logs: Path) -> Iterator[Realtime]:
    with running_realtime(
        logs / "realtime-queue.log", DATABASE_URL=database_url, WEBSOCKET_MAX_PER_USER="7"
    ) as process:
        yield process


@pytest.fixture
def realtime(process: Realtime) -> Iterator[Realtime]:
    yield process
    process.close_all_and_read_log()


@pytest.fixture
def line(world: Database) -> Database:
    """Nobody comes in until the policy says so."""
    store_policy(threshold=0, is_new=True, world=world)
    return world


def follow(realtime: Realtime, user: str, event_id: str = HALL) -> RecordingSocket:
    return realtime.open(f"/ws/queue/{event_id}", subprotocols=["bearer", token(user)])


def test_who_waits_hears_the_position_and_who_is_let_in_gets_a_pass(
    realtime: Realtime, web: Api, line: Database
) -> None:
    first, second = new_user(), new_user()
    stranger = follow(realtime, new_user())
    assert stranger.connection.subprotocol == "bearer"
    assert stranger.first("queue-position") == {
        "type": "queue-position", "eventId": HALL, "position": 0, "queueSize": 0, "estimatedWait": 0, "state": "none",
    }  # fmt: skip
    store_policy(threshold=0, world=line, admissions_per_second=0.5)
    wait_in_line(web, first, second)
    sockets = {user: follow(realtime, user) for user in (first, second)}
    for place, socket in enumerate(sockets.values(), 1):
        heard = (socket.messages and socket.messages[0]) or socket.first("queue-position")
        assert (heard["position"], heard["queueSize"], heard["state"]) == (place, 2, "waiting")
        assert heard["estimatedWait"] == 2 * place  # seconds: nothing is measured yet, and the policy allows one in two

    store_policy(threshold=1, world=line)
    tick_until(lambda: sockets[first].of_type("queue-entry-allowed"))

    allowed = sockets[first].first("queue-entry-allowed")
    assert set(allowed) == {"type", "eventId", "userId", "message", "pass", "expiresAt"}
    assert (allowed["userId"], allowed["message"]) == (first, "입장이 허용되었습니다. 잠시 후 자동으로 이동합니다.")
    sockets[second].wait(lambda heard: heard.of_type("queue-position")[-1]["position"] == 1)
    updated = sockets[second].first("queue-updated")
    assert set(updated) == {"type", "eventId", "queueSize", "currentUsers", "threshold", "timestamp"}
    assert (updated["queueSize"], updated["currentUsers"], updated["threshold"]) == (1, 1, 1)
    assert not sockets[second].of_type("queue-entry-allowed")
    again = follow(realtime, first).first("queue-position")
    assert (again["state"], bool(again["pass"]), bool(again["expiresAt"])) == ("active", True, True)
    # The pass of the message is as good as the one of check.
    from queueing import services

    queue_pass = services.identify_visitor(event_id=EVENT, user_id=uuid.UUID(first), pass_=allowed["pass"]).queue_pass
    assert queue_pass is not None
    assert queue_pass.until / 1e6 > time.time()
    assert web.reserve(first, HALL, seat(1, 1), headers={"Queue-Pass": allowed["pass"]}).status == 201


def test_of_200_only_one_is_told_to_come_in(realtime: Realtime, web: Api, line: Database) -> None:
    users = [new_user() for _ in range(200)]
    wait_in_line(web, *users)
    with ThreadPoolExecutor(16) as threads:
        sockets = list(threads.map(lambda user: follow(realtime, user), users))
    places = [socket.first("queue-position")["position"] for socket in sockets]
    assert places == list(range(1, 201))

    store_policy(threshold=1, world=line)
    tick_until(lambda: sockets[0].of_type("queue-entry-allowed"))

    allowed = sockets[0].first("queue-entry-allowed")
    for place, socket in enumerate(sockets[1:], 1):
        socket.first("queue-updated")
        if place < 90:
            socket.wait(lambda heard, place=place: heard.of_type("queue-position")[-1]["position"] == place)
    assert [socket.of_type("queue-entry-allowed") for socket in sockets] == [[allowed], *[[]] * 199]
    assert not any(allowed["pass"] in str(socket.messages) for socket in sockets[1:])


def test_an_open_socket_keeps_the_place(realtime: Realtime, web: Api, world: Database, redis) -> None:
    store_policy(threshold=0, is_new=True, world=world, idle_seconds=5)
    with_socket, without = new_user(), new_user()
    wait_in_line(web, without, with_socket)
    socket = follow(realtime, with_socket)

    for _ in range(8):
        time.sleep(1)
        tick_hall()

    assert socket.of_type("queue-position")[-1]["position"] == 1, "the silent one is gone"
    counted = redis.hgetall(f"queue:stats:{HALL}")
    assert (counted["dropped:idle"], counted.get("returned")) == ("1", None)
    assert len(socket.of_type("queue-position")) >= 4, "every two seconds near the front"
    assert 3 <= len(socket.of_type("queue-updated")) <= 9, "at most once a second"


def test_everybody_hears_that_the_line_was_cleared(realtime: Realtime, web: Api, line: Database) -> None:
    user = new_user()
    wait_in_line(web, user)
    socket = follow(realtime, user)
    socket.first("queue-position")

    headers = {"Authorization": f"Bearer {token(new_user(), role='admin')}"}
    assert web.post(f"/queue/admin/clear/{HALL}", headers=headers).status == 200

    assert socket.first("queue-cleared") == {
        "type": "queue-cleared", "eventId": HALL, "message": "관리자가 대기열을 초기화했습니다.",
    }  # fmt: skip
    assert web.get(f"/queue/status/{HALL}", user=user).json["state"] == "none"


def test_one_who_was_between_two_sockets_hears_what_happened_meanwhile(
    realtime: Realtime, web: Api, line: Database
) -> None:
    """Once, that the queue was cleared; each time, that they are admitted."""
    waits, told, comes_back, stranger = new_user(), new_user(), new_user(), new_user()
    wait_in_line(web, waits, told, comes_back)
    socket = follow(realtime, told)
    socket.first("queue-position")
    headers = {"Authorization": f"Bearer {token(new_user(), role='admin')}"}
    assert web.post(f"/queue/admin/clear/{HALL}", headers=headers).status == 200
    socket.first("queue-cleared")
    socket.close()
    wait_in_line(web, comes_back)
    time.sleep(0.5)  # until it is noted that one was told

    def hears(user: str) -> list[str]:
        late = follow(realtime, user)
        late.first("queue-position")
        time.sleep(0.3)
        return [message["type"] for message in late.messages if message["type"] != "queue-updated"]

    assert hears(waits) == ["queue-position", "queue-cleared"]
    assert [hears(user) for user in (waits, told, comes_back, stranger)] == [["queue-position"]] * 4
    store_policy(threshold=1, world=line)
    tick_until(lambda: web.get(f"/queue/status/{HALL}", user=comes_back).json["state"] == "active")
    assert [hears(comes_back) for _ in range(2)] == [["queue-position", "queue-entry-allowed"]] * 2


def test_who_joins_with_an_open_socket_hears_the_position(realtime: Realtime, web: Api, line: Database) -> None:
    user = new_user()
    socket = follow(realtime, user)
    socket.first("queue-position")
    wait_in_line(web, user)
    socket.wait(lambda heard: heard.of_type("queue-position")[-1]["position"] == 1, seconds=5)


@pytest.mark.long
def test_a_line_that_redis_has_lost_comes_back_with_its_sockets(
    realtime: Realtime, web: Api, line: Database, redis
) -> None:
    users = [new_user() for _ in range(5)]
    wait_in_line(web, *users)
    sockets = [follow(realtime, user) for user in users]
    for socket in sockets:
        socket.first("queue-position")

    redis.flushall()

    wait_until(lambda: redis.zcard(f"queue:{HALL}") == 5, seconds=10)
    assert [
        member.decode() if isinstance(member, bytes) else member for member in redis.zrange(f"queue:{HALL}", 0, -1)
    ] == users


@pytest.mark.parametrize("given", ["nothing", "rubbish", "expired", "foreign"])
def test_without_a_good_token_nobody_follows(realtime: Realtime, world: Database, given: str) -> None:
    user = new_user()
    tokens = {"rubbish": "x.y.z", "expired": token(user, seconds=-10), "foreign": token(user)[:-4] + "AAAA"}
    query = f"?token={tokens[given]}" if given in tokens else ""
    assert realtime.open(f"/ws/queue/{HALL}{query}").closed_with() == 4401
    if given in tokens:
        offered = ["bearer", tokens[given]]
        assert realtime.open(f"/ws/queue/{HALL}", subprotocols=offered).closed_with() == 4401


def test_refusals_have_their_codes(realtime: Realtime, world: Database) -> None:
    user = new_user()
    assert follow(realtime, user, "42").closed_with() == 4400
    assert follow(realtime, user, new_user()).closed_with() == 4404
    assert realtime.open(f"/ws/queue/{HALL}?token={token(user)}").first("queue-position")["state"] == "none"


def test_the_oldest_tab_is_replaced_and_sockets_of_a_user_are_counted(realtime: Realtime, world: Database) -> None:
    user = new_user()
    tabs = []
    for _ in range(6):
        tabs.append(follow(realtime, user))
        tabs[-1].first("queue-position")
    assert tabs[0].closed_with() == 4409
    assert [tab.code for tab in tabs[1:]] == [None] * 5
    for _ in range(2):
        follow(realtime, user, STANDING).first("queue-position")
    assert follow(realtime, user, STANDING).closed_with() == 4429
    tabs[1].close()
    wait_until(
        lambda: follow(realtime, user, STANDING).wait(lambda heard: heard.code or heard.messages) != 4429, seconds=5
    )


def test_of_many_tabs_that_open_at_once_five_stay(realtime: Realtime, world: Database) -> None:
    user = new_user()
    with ThreadPoolExecutor(7) as threads:
        tabs = list(threads.map(lambda _: follow(realtime, user), range(7)))
    for tab in tabs:
        tab.wait(lambda heard: heard.code or heard.messages)
    wait_until(lambda: [tab.code for tab in tabs].count(4409) == 2, seconds=5)
    time.sleep(0.5)
    assert sorted(tab.code or 0 for tab in tabs) == [0] * 5 + [4409] * 2
