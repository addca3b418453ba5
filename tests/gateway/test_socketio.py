"""Socket.IO, with the official JavaScript client where it can be had, and python-socketio's everywhere."""

import json
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.harness import (
    HALL,
    INTERNAL,
    STANDING,
    STANDING_A,
    THEATRE,
    Api,
    Database,
    new_user,
    seat,
    token,
    wait_until,
)
from tests.support.live import Realtime, flood, running_realtime
from tests.support.socketio_clients import KINDS, JavaScript, OfPython, SocketIOClient
from tests.support.waiting_room import store_policy, tick_until, wait_in_line

pytestmark = pytest.mark.slow

Open = Callable[..., SocketIOClient]
WEBSOCKET, POLLING = ["websocket"], ["polling"]
NEITHER = "10101010-0000-4000-8000-000000000000"  # is no event


@pytest.fixture(scope="module")
def processes(database_url: str, logs: Path) -> Iterator[list[Realtime]]:
    """Two of them, as on two machines."""
    with (
        running_realtime(logs / "socketio-1.log", DATABASE_URL=database_url, WEBSOCKET_MAX_PER_USER="4") as first,
        running_realtime(logs / "socketio-2.log", DATABASE_URL=database_url) as second,
    ):
        yield [first, second]


@pytest.fixture
def realtime(processes: list[Realtime]) -> Iterator[Realtime]:
    yield processes[0]
    for process in processes:
        log = process.close_all_and_read_log()
        assert "ERROR" not in log, log[-3000:]


@pytest.fixture
def opened() -> Iterator[list[SocketIOClient]]:
    clients: list[SocketIOClient] = []
    yield clients
    for client in clients:
        client.close()


@pytest.fixture
def open_python(realtime: Realtime, opened: list[SocketIOClient]) -> Open:
    def open_client(
        namespace: str = "/",
        *,
        user: str | None = None,
        auth: Any = None,
        emits: Any = (),
        at: Realtime = realtime,
        transports: Any = WEBSOCKET,
    ) -> SocketIOClient:
        auth = {"token": token(user)} if user else auth
        opened.append(OfPython(at.port, namespace, auth, list(emits), transports or [*POLLING, *WEBSOCKET]))
        return opened[-1]

    return open_client


@pytest.fixture(params=KINDS)
def open_client(
    request: pytest.FixtureRequest, realtime: Realtime, opened: list[SocketIOClient], open_python: Open
) -> Open:
    """Opens clients of one kind, over one transport."""
    language, transport = request.param.split("-")
    transports = [transport] if transport != "default" else None
    if language == "python":
        return lambda *args, **options: open_python(*args, transports=transports, **options)
    node: JavaScript = request.getfixturevalue("javascript")

    def open_official(
        namespace: str = "/", *, user: str | None = None, auth: Any = None, emits: Any = (), at: Realtime = realtime
    ) -> SocketIOClient:
        options = {"transports": transports} if transports else {}
        auth = {"token": token(user)} if user else auth
        opened.append(node.open(at.port, namespace, auth, list(emits), **options))
        return opened[-1]

    return open_official


@pytest.fixture
def line(world: Database) -> Database:
    """Nobody comes in until the policy says so."""
    store_policy(threshold=0, is_new=True, world=world)
    return world


def test_every_event_reaches_a_client_that_emits_when_it_connects(
    open_client: Open, processes: list[Realtime], web: Api, line: Database
) -> None:
    """Of both processes; all that is said of an event and of a line, and to one what only one is to hear."""
    from queueing import services

    first, second = new_user(), new_user()
    wait_in_line(web, first, second)
    joins = [(name, {"eventId": HALL}) for name in ("join-event", "join-seat-selection", "join-queue")]
    here = open_client(user=first, emits=joins)
    there = open_client(user=second, emits=joins, at=processes[1])

    for place, client in enumerate((here, there), 1):
        assert client.first("queue-position")["position"] == place
        client.wait(lambda heard: heard.of("room-info") and heard.of("room-info")[-1]["userCount"] == 2)
        assert client.first("room-info")["eventId"] == HALL
        assert set(client.first("hello")) == {"eventId", "version"}

    store_policy(threshold=1, world=line)
    tick_until(lambda: here.of("queue-entry-allowed"))
    allowed = here.first("queue-entry-allowed")
    assert set(allowed) == {"eventId", "userId", "message", "pass", "expiresAt"}
    assert allowed["userId"] == first
    there.wait(lambda heard: heard.of("queue-position")[-1]["position"] == 1)
    assert set(there.first("queue-updated")) == {"eventId", "queueSize", "currentUsers", "threshold", "timestamp"}

    taken = web.reserve(first, HALL, seat(1, 1), seat(1, 2), headers={"Queue-Pass": allowed["pass"]})
    assert taken.status == 201
    reservation = taken.json["reservation"]
    assert web.confirm(reservation["id"], reservation["totalAmount"]).status == 200
    assert web.refund(reservation["id"]).status == 200
    for client in (here, there):
        client.wait(lambda heard: len(heard.of("seat-released")) == 2)
        for change, status in (("seat-locked", "locked"), ("seat-sold", "sold"), ("seat-released", "available")):
            assert sorted(body["seatId"] for body in client.of(change)) == [seat(1, 1), seat(1, 2)], "one by one"
            assert set(client.first(change)) == {"eventId", "seatId", "status", "version", "timestamp"}
            assert client.first(change)["status"] == status

    services.clear_queue(event_id=uuid.UUID(HALL))
    for client in (here, there):
        assert client.first("queue-cleared") == {"eventId": HALL, "message": "관리자가 대기열을 초기화했습니다."}
    assert not there.of("queue-entry-allowed")
    assert not here.of("disconnect") + there.of("disconnect") + here.of("error")
    if not isinstance(here, OfPython) and len(here.of("upgrade")) == 1:
        assert there.of("upgrade"), "begun by polling, both went on by WebSocket"


def test_stock_and_status_reach_who_joined_the_event(open_client: Open, web: Api, world: Database) -> None:
    client = open_client(user=new_user())
    assert client.emit("join-event", STANDING) == {"success": True}, "the id alone will do"
    assert web.buy(new_user(), STANDING, **{STANDING_A: 2}).status == 201

    told = client.first("ticket-updated")
    assert set(told) == {"eventId", "ticketTypeId", "availableQuantity", "totalQuantity", "timestamp"}
    assert (told["ticketTypeId"], told["availableQuantity"]) == (STANDING_A, 98)

    assert client.emit("seat-selection-changed", {"eventId": STANDING, "seats": [seat(1, 1)]}) == {"success": True}
    assert client.emit("leave-event", {"eventId": STANDING}) == {"success": True}
    assert web.buy(new_user(), STANDING, **{STANDING_A: 1}).status == 201
    assert client.emit("join-seat-selection", {"eventId": THEATRE}) == {"success": True}
    assert web.post(f"/internal/events/{THEATRE}/cancel", headers=INTERNAL).status == 200
    assert client.first("event-status-changed") == {"eventId": THEATRE, "status": "cancelled"}
    assert client.emit("join-event", {"eventId": NEITHER})["success"] is False
    assert client.emit("join-event", {"eventId": "rubbish"})["success"] is False
    assert client.emit("no-such-thing")["code"] == "UNKNOWN_MESSAGE"
    assert len(client.of("error")) == 3
    assert len(client.of("ticket-updated")) == 1, "not after leaving"


def test_who_may_connect(open_client: Open, web: Api, world: Database) -> None:
    refused = [
        ("/", None, "Authentication required"),
        ("/", {"token": "rubbish"}, "Invalid authentication token"),
        ("/", {"token": token(new_user(), seconds=-10)}, "Invalid authentication token"),
        (f"/queue/{HALL}", None, "Authentication required"),
        (f"/queue/{HALL}", {"token": ["no"]}, "Invalid authentication token"),
        (f"/seats/{NEITHER}", None, "EVENT_NOT_FOUND"),
        ("/seats/rubbish", None, "Invalid event ID format"),
        ("/nothing", None, "Invalid namespace"),
    ]
    for namespace, auth, message in refused:
        client = open_client(namespace, auth=auth)
        assert client.first("connect_error")["message"] == message, (namespace, auth)
        assert not client.of("connect")


def test_the_namespaces_of_the_plan(open_client: Open, processes: list[Realtime], web: Api, line: Database) -> None:
    user, other = new_user(), new_user()
    wait_in_line(web, user, other)
    seats = open_client(f"/seats/{HALL}")
    version = seats.first("hello")["version"]
    mine = open_client(f"/queue/{HALL}", user=user)
    others = open_client(f"/queue/{HALL}", user=other, at=processes[1])
    assert mine.first("queue-position")["position"] == 1
    assert others.first("queue-position")["position"] == 2

    store_policy(threshold=1, world=line)
    tick_until(lambda: mine.of("queue-entry-allowed"))
    pass_ = mine.first("queue-entry-allowed")["pass"]
    assert web.reserve(user, HALL, seat(1, 3), headers={"Queue-Pass": pass_}).status == 201

    assert seats.first("seat-locked")["version"] == version + 1
    others.wait(lambda heard: heard.of("queue-position")[-1]["position"] == 1)
    assert not others.of("queue-entry-allowed")


@pytest.mark.parametrize("open_client", [kind for kind in KINDS if "polling" not in kind], indirect=True)
def test_who_loses_the_connection_is_put_back(open_client: Open, web: Api, world: Database) -> None:
    world.turn_waiting_rooms_off()
    user = new_user()
    client = open_client(user=user)
    for name in ("join-event", "join-seat-selection", "join-queue"):
        assert client.emit(name, {"eventId": HALL}) == {"success": True}
    assert client.emit("join-event", {"eventId": STANDING}) == {"success": True}
    assert client.emit("leave-event", {"eventId": STANDING}) == {"success": True}

    client.cut()
    restored = client.first("session-restored", seconds=15)

    assert restored["eventIds"] == [HALL]
    assert {room["room"] for room in restored["rooms"]} == {"event", "seats", "queue"}
    assert web.reserve(new_user(), HALL, seat(1, 5)).status == 201
    assert client.first("seat-locked")["seatId"] == seat(1, 5)
    assert len(client.of("seat-locked")) == 1
    client.close()
    time.sleep(0.3)
    fresh = open_client(user=user)
    fresh.emit("join-event", {"eventId": HALL})
    assert not open_client(user=new_user()).of("session-restored")


@pytest.mark.parametrize("open_client", ["js-websocket", "python-websocket"], indirect=True)
def test_a_lost_connection_is_restored_once(open_client: Open, web: Api, world: Database) -> None:
    world.turn_waiting_rooms_off()
    user = new_user()
    lost, other = open_client(user=user), open_client(user=user)
    lost.emit("join-event", HALL)
    other.emit("join-event", STANDING)

    lost.cut()
    assert lost.first("session-restored", seconds=15)["eventIds"] == [HALL]
    later = [open_client(user=user) for _ in range(3)]
    lost.wait(lambda heard: heard.of("room-info") and heard.of("room-info")[-1]["userCount"] == 1)
    time.sleep(2.5)  # presence counts every two seconds
    assert lost.of("room-info")[-1]["userCount"] == 1
    assert not [client.all for client in (other, *later) if client.of("session-restored")]
    assert not [client.all for client in later if client.of("hello")], "they have joined nothing"


def test_each_tab_gets_its_own_rooms_back(
    javascript: JavaScript, realtime: Realtime, opened: list[SocketIOClient], web: Api, world: Database
) -> None:
    """The official client says which connection it has lost."""
    world.turn_waiting_rooms_off()
    user = new_user()
    tabs = {}
    for event_id in (HALL, STANDING, THEATRE):
        tabs[event_id] = javascript.open(realtime.port, "/", {"token": token(user)}, [], transports=WEBSOCKET)
        opened.append(tabs[event_id])
        tabs[event_id].emit("join-seat-selection", event_id)
    for tab in tabs.values():
        tab.cut()
    for event_id, tab in tabs.items():
        assert tab.first("session-restored", seconds=15)["eventIds"] == [event_id]


def test_a_process_that_stops_hands_its_clients_over(
    database_url: str, logs: Path, open_python: Open, web: Api, world: Database
) -> None:
    user = new_user()
    with running_realtime(logs / "socketio-stopped.log", DATABASE_URL=database_url) as stopped:
        sockets = [
            open_python(user=user, at=stopped, emits=[("join-seat-selection", HALL)], transports=[transport])
            for transport in ("websocket", "polling")
        ]
        for client in sockets:
            client.first("hello")
        time.sleep(0.5)  # until the client that polls asks again: else nobody is there to be told
        stopped.process.terminate()
        for client in sockets:
            client.first("disconnect")
            assert 0 <= client.first("retry")["afterMs"] < 5000
        stopped.process.wait(10)
    assert "Traceback" not in stopped.log.read_text()
    assert open_python(user=user).first("session-restored") == {
        "eventIds": [HALL], "rooms": [{"room": "seats", "eventId": HALL}],
    }  # fmt: skip


def test_the_map_of_an_existing_web_client_is_live(open_client: Open, web: Api, world: Database) -> None:
    """It knows `seat-selected` and `seats-released` only."""
    world.turn_waiting_rooms_off()
    client = open_client(user=new_user(), emits=[("join-seat-selection", HALL)])
    client.first("hello")
    taken = [seat(1, 6), seat(1, 7)]
    user = new_user()
    reservation = web.reserve(user, HALL, *taken).json["reservation"]

    client.wait(lambda heard: len(heard.of("seat-selected")) == 2)
    assert sorted(client.of("seat-selected"), key=lambda body: body["seatId"]) == [
        {"seatId": one, "status": "locked"} for one in sorted(taken)
    ]
    assert web.cancel(user, reservation["id"]).status == 200
    client.wait(lambda heard: sum(len(body["seatIds"]) for body in heard.of("seats-released")) == 2)
    assert {body["eventId"] for body in client.of("seats-released")} == {HALL}
    assert sorted(one for body in client.of("seats-released") for one in body["seatIds"]) == sorted(taken)
    paid = web.reserve(user, HALL, taken[0]).json["reservation"]
    assert web.confirm(paid["id"], paid["totalAmount"]).status == 200
    client.wait(lambda heard: {"seatId": taken[0], "status": "sold"} in heard.of("seat-selected"))


def test_one_who_was_between_two_connections_when_it_was_admitted_is_told(
    open_client: Open, web: Api, line: Database
) -> None:
    user = new_user()
    wait_in_line(web, user)
    client = open_client(user=user, emits=[("join-queue", HALL)])
    client.first("queue-position")
    client.close()
    time.sleep(0.3)
    store_policy(threshold=1, world=line)
    tick_until(lambda: web.get(f"/queue/status/{HALL}", user=user).json["state"] == "active")

    late = open_client(user=user)
    for _ in range(2):  # leaving and joining again is another connection to the queue
        assert late.emit("join-queue", HALL) == {"success": True}
        late.emit("leave-queue", HALL)
    allowed = late.of("queue-entry-allowed")
    assert [body["userId"] for body in allowed] == [user, user]
    assert web.reserve(user, HALL, seat(1, 8), headers={"Queue-Pass": allowed[0]["pass"]}).status == 201


# --- Limits -----------------------------------------------------------------------------------------------------------


def engine_io(realtime: Realtime) -> str:
    return f"ws://127.0.0.1:{realtime.port}/socket.io/?EIO=4&transport=websocket"


def test_rubbish_closes_the_connection(realtime: Realtime, world: Database) -> None:
    deep = "[" * 2000
    for rubbish in (
        "", "9", "x", "4", "4x", "42", "42[]", '42{"a":1}', "42[1]", '42["connect",{}]', '42["disconnect"]', "43[]",
        '451-["a",{"_placeholder":true,"num":0}]', b"\x00", f"4{deep}", f"42{deep}", "42" + "[" + '"x"' * 9, "40[1]",
        "42/no-such-namespace-without-comma", '42["join-event",{"eventId":"' + "x" * 5000 + '"}]',
    ):  # fmt: skip
        with connect(engine_io(realtime)) as raw:
            assert raw.recv().startswith("0{")
            raw.send("40" + '{"token":"' + token(new_user()) + '"}')
            assert raw.recv().startswith("40{")
            raw.send(rubbish)
            if rubbish not in ("42/no-such-namespace-without-comma",):
                with pytest.raises(ConnectionClosed):
                    raw.recv(timeout=5)
    with connect(engine_io(realtime)) as raw:
        raw.recv()
        with suppress(ConnectionClosed):
            for _ in range(100):
                raw.send("3")
        with pytest.raises(ConnectionClosed):
            raw.recv(timeout=5)

    url = f"http://127.0.0.1:{realtime.port}/socket.io/?EIO=4&transport=polling"
    for body in (b"", b"x", b"\xff\xfe", b"4" + deep.encode(), b"d=4", b"\x1e".join([b"3"] * 40), b"4" * 5000):
        sid = httpx.get(url).text.partition('"sid":"')[2].partition('"')[0]
        assert httpx.post(f"{url}&sid={sid}", content=body).status_code == 400, body[:20]
        assert httpx.get(f"{url}&sid={sid}").status_code == 400, "it is closed"
    for request in ("&sid=nobody", "&EIO=3", "&transport=carrier-pigeon", "&j=x"):
        assert httpx.get(f"http://127.0.0.1:{realtime.port}/socket.io/?transport=polling{request}").status_code == 400


@pytest.mark.long
def test_what_nobody_has_signed_for_takes_no_memory(realtime: Realtime, world: Database) -> None:
    """Each of these once was never answered, and kept 25 KB."""
    url = f"http://127.0.0.1:{realtime.port}/socket.io/?EIO=4&transport=polling"
    process = psutil.Process(realtime.process.pid)

    def sessions(number: int) -> None:
        with httpx.Client(timeout=5) as client:
            for _ in range(number):
                for before, packet in ((None, "2"), (None, "6"), (None, "2probe"), (b"40/nowhere,", "2")):
                    sid = client.get(url).text.partition('"sid":"')[2].partition('"')[0]
                    if before:
                        assert client.post(f"{url}&sid={sid}", content=before).text == "OK"
                    assert client.post(f"{url}&sid={sid}", content=packet).status_code == 400
                    assert client.post(f"{url}&sid={sid}", content="3").status_code == 400, "it has ended"

    sessions(50)  # what the first of them need stays
    before = process.memory_info().rss
    sessions(250)
    grown = process.memory_info().rss - before
    print(f"grown by {grown / 1e3:.0f} KB with 1,000 sessions")
    assert grown < 5e6


def test_a_user_has_so_many_connections(open_python: Open, world: Database) -> None:
    user = new_user()
    clients = [open_python(user=user) for _ in range(4)]
    assert all(client.of("connect") for client in clients)
    assert open_python(user=user).first("connect_error")["message"] == "Too many connections"
    clients[0].close()
    wait_until(lambda: open_python(user=user).of("connect"), seconds=5)


@pytest.mark.parametrize("namespace", ["/", f"/queue/{HALL}"])
def test_the_sixth_tab_replaces_the_first(
    namespace: str, processes: list[Realtime], open_python: Open, web: Api, world: Database
) -> None:
    user = new_user()
    emits = [("join-queue", HALL)] if namespace == "/" else []
    tabs = []
    for _ in range(5):  # one after the other: the first is the oldest
        tabs.append(open_python(namespace, user=user, emits=emits, at=processes[1]))
        tabs[-1].first("queue-position")
    open_python(namespace, user=user, emits=emits, at=processes[1]).first("queue-position")

    assert tabs[0].first("error")["code"] == "REPLACED"
    if namespace == "/":
        assert tabs[0].emit("heartbeat") == {"success": True}, "it stays in its other rooms"
    else:
        tabs[0].first("disconnect")
    assert not [tab for tab in tabs[1:] if tab.of("error")]


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_client_that_never_reads_is_closed(transport: str, realtime: Realtime, world: Database, redis) -> None:
    process = psutil.Process(realtime.process.pid)
    sleepers = [sleeping(realtime, transport) for _ in range(5)]
    before = process.memory_info().rss

    versions = []
    with connect(engine_io(realtime)) as reader:
        reader.recv()
        reader.send(f"40/seats/{HALL},")
        assert [reader.recv()[:3] for _ in range(2)] == ["40/", "42/"]
        for start in range(30):  # 6 MB for each, never more at once than is kept for a slow client
            last = flood(redis, frames=50, start=10**13 + 50 * start)
            while not versions or versions[-1] != last:
                versions.append(json.loads(reader.recv(timeout=10).partition(",")[2])[1]["version"])

    assert versions == list(range(10**13 + 1, last + 1)), "nobody else is harmed"
    grown = process.memory_info().rss - before
    print(f"grown by {grown / 1e6:.1f} MB for 5 clients that do not read 6 MB each")
    assert grown < 25e6
    if transport == "polling":
        for sid in sleepers:
            url = f"http://127.0.0.1:{realtime.port}/socket.io/?EIO=4&transport=polling&sid={sid}"
            wait_until(lambda url=url: httpx.get(url).status_code == 400, seconds=5)
    else:
        ports = {sleeper.getsockname()[1] for sleeper in sleepers}

        def are_gone() -> bool:
            return not any(found.raddr and found.raddr.port in ports for found in process.net_connections())

        wait_until(are_gone, seconds=15, every=0.2)
        for sleeper in sleepers:
            sleeper.close()


def sleeping(realtime: Realtime, transport: str) -> Any:
    """A client on the seat map that never reads: its socket, or the sid of one that never polls."""
    if transport == "polling":
        url = f"http://127.0.0.1:{realtime.port}/socket.io/?EIO=4&transport=polling"
        sid = httpx.get(url).text.partition('"sid":"')[2].partition('"')[0]
        assert httpx.post(f"{url}&sid={sid}", content=f"40/seats/{HALL},").text == "OK"
        return sid
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", realtime.port))
    client.sendall(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    time.sleep(0.1)
    packet = f"40/seats/{HALL},".encode()
    client.sendall(bytes([0x81, 0x80 | len(packet), 0, 0, 0, 0]) + packet)
    time.sleep(0.1)
    return client
