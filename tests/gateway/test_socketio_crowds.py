"""Many clients of Socket.IO: over two processes behind one address, in a line, and when a process stops."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.crowd import Crowd
from tests.support.harness import HALL, Api, Database, new_user, seat, token, wait_until
from tests.support.live import Realtime, running_realtime
from tests.support.socketio_clients import KINDS, JavaScript, OfPython, SocketIOClient
from tests.support.sticky_proxy import running_front
from tests.support.waiting_room import store_policy, tick_until, wait_in_line

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def processes(database_url: str, logs: Path) -> Iterator[list[Realtime]]:
    with ExitStack() as running:
        logs_of = [logs / f"socketio-many-{number}.log" for number in (1, 2)]
        yield [running.enter_context(running_realtime(log, DATABASE_URL=database_url)) for log in logs_of]
    for log in logs_of:
        assert "Traceback" not in log.read_text(), log.read_text()[-3000:]


def in_line(processes: Sequence[Realtime], users: Sequence[str]) -> Crowd:
    """On both processes; every other user by the plan's namespace."""

    def answers(number: int, frame: str) -> list[str]:
        auth = json.dumps({"token": token(users[number])})
        of_the_plan = bool(number // 2 % 2)
        if frame == "2":
            return ["3"]
        if frame.startswith("0{"):
            return [f"40/queue/{HALL},{auth}" if of_the_plan else f"40{auth}"]
        if frame.startswith("40{"):
            return [f'42["join-queue","{HALL}"]']
        return []

    urls = [
        f"ws://127.0.0.1:{processes[number % 2].port}/socket.io/?EIO=4&transport=websocket"
        for number in range(len(users))
    ]
    return Crowd(urls, answers=answers)


def said(heard: Sequence[str], event: str) -> list[str]:
    return [frame for frame in heard if f'["{event}",' in frame]


@pytest.mark.long
def test_of_200_only_one_is_told_to_come_in(processes: list[Realtime], web: Api, world: Database) -> None:
    store_policy(threshold=0, is_new=True, world=world)
    users = [new_user() for _ in range(200)]
    wait_in_line(web, *users)
    crowd = in_line(processes, users)
    crowd.wait(lambda heard: said(heard, "queue-position"))
    for place, heard in enumerate(crowd.heard, 1):
        assert f'"position":{place},' in said(heard, "queue-position")[0]

    store_policy(threshold=1, world=world)
    tick_until(lambda: said(crowd.heard[0], "queue-entry-allowed"))
    crowd.wait(lambda heard: said(heard, "queue-updated"))

    allowed = [said(heard, "queue-entry-allowed") for heard in crowd.heard]
    assert [len(told) for told in allowed] == [1, *[0] * 199]
    message = json.loads(allowed[0][0].removeprefix("42"))[1]
    assert message["userId"] == users[0]
    assert message["pass"]
    for heard in crowd.heard[1:]:
        assert not any(message["pass"] in frame or users[0] in frame for frame in heard)
    assert crowd.codes == [None] * 200
    crowd.close()


@pytest.mark.long
@pytest.mark.parametrize("kind", [kind for kind in [*KINDS, "python-default"] if "websocket" not in kind])
def test_behind_one_address_with_sticky_sessions(
    kind: str, request: pytest.FixtureRequest, processes: list[Realtime], web: Api, world: Database
) -> None:
    """The processes take turns; polls and upgrades find the one that has their session."""
    language, transport = kind.split("-")
    clients: list[SocketIOClient] = []
    with running_front([process.port for process in processes]) as front:
        for _ in range(4):
            auth, emits = {"token": token(new_user())}, [("join-event", {"eventId": HALL})]
            if language == "python":
                transports = [transport] if transport != "default" else ["polling", "websocket"]
                clients.append(OfPython(front.port, "/", auth, emits, transports))
                continue
            node: JavaScript = request.getfixturevalue("javascript")
            options = {"transports": [transport]} if transport != "default" else {}
            clients.append(node.open(front.port, "/", auth, emits, **options))
        for client in clients:
            client.wait(lambda heard: any(body["userCount"] >= 4 for body in heard.of("room-info")), 15)
        assert web.reserve(new_user(), HALL, seat(1, 1)).status == 201
        for client in clients:
            assert client.first("seat-locked")["seatId"] == seat(1, 1)
            assert len(client.of("seat-locked")) == 1
            assert not client.of("disconnect") + client.of("connect_error") + client.of("error")
        assert set(front.sessions.values()) == {process.port for process in processes}
        for client in clients:
            client.close()


def test_a_process_that_stops_says_when_to_come_back(database_url: str, logs: Path, world: Database) -> None:
    users = [new_user() for _ in range(40)]
    with running_realtime(logs / "socketio-many-stopped.log", DATABASE_URL=database_url) as stopped:
        crowd = in_line([stopped, stopped], users)
        crowd.wait(lambda heard: said(heard, "queue-position"))
        stopped.process.terminate()
        crowd.wait(lambda heard: said(heard, "retry"))
        stopped.process.wait(10)
    wait_until(lambda: None not in crowd.codes, seconds=10)
    hints = [int(said(heard, "retry")[0].partition('"afterMs":')[2].rstrip("}]")) for heard in crowd.heard]
    crowd.close()
    assert all(0 <= hint < 5000 for hint in hints)
    assert max(hints) - min(hints) > 1000, "spread out"
