"""Live sockets in bad weather: Redis gone, clients that do not read or send rubbish, a process that is stopped."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from devtools.embedded import Servers
from tests.support.crowd import Crowd
from tests.support.harness import HALL, ROOT, Api, Database, free_port, is_up, new_user, seat, token, wait_until
from tests.support.live import Realtime, Viewer, flood, running_realtime
from tests.support.socketio_clients import OfPython

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def process(database_url: str, logs: Path) -> Iterator[Realtime]:
    with running_realtime(logs / "realtime-storms.log", DATABASE_URL=database_url) as process:
        yield process


@pytest.fixture
def realtime(process: Realtime) -> Iterator[Realtime]:
    yield process
    log = process.close_all_and_read_log()
    assert "ERROR" not in log, log[-3000:]


# --- Redis ------------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_redis_is_killed_and_everybody_ends_with_the_right_map(
    realtime: Realtime, web: Api, world: Database, redis_server: Servers
) -> None:
    world.turn_waiting_rooms_off()
    viewer = Viewer(web, realtime, HALL)
    others = Crowd([f"ws://127.0.0.1:{realtime.port}/ws/seats/{HALL}"] * 500)
    others.wait(bool)
    version = hello_of(others.heard[0][0])
    assert web.reserve(new_user(), HALL, seat(1, 1)).status == 201

    os.kill(redis_server.redis.pid(), signal.SIGKILL)
    time.sleep(2.5)
    assert web.reserve(new_user(), HALL, seat(1, 2)).status == 201, "which nobody can be told"
    time.sleep(2.5)
    redis_server.start_redis()
    back = time.monotonic()

    others.wait(lambda heard: len([frame for frame in heard if '"hello"' in frame]) > 1, seconds=10)
    print(f"500 sockets are live {time.monotonic() - back:.2f} s after Redis came back")
    assert "[-] The subscription to Redis is lost" in realtime.log.read_text()  # that is no socket's own
    assert all(hello_of(heard[-1]) > version for heard in others.heard)
    wait_until(viewer.is_right, seconds=5)
    assert viewer.seats[seat(1, 2)] == "locked"
    assert web.reserve(new_user(), HALL, seat(1, 3)).status == 201
    others.wait(lambda heard: seat(1, 3) in heard[-1])
    assert others.codes == [None] * 500
    wait_until(viewer.is_right, seconds=5)
    others.close()


def hello_of(frame: str) -> int:
    message = json.loads(frame)
    assert message["type"] == "hello"
    return int(message["version"])


def test_who_comes_while_redis_is_away_is_told_when_it_is_back(
    realtime: Realtime, web: Api, world: Database, redis_server: Servers
) -> None:
    redis_server.stop_redis()
    heard = realtime.seats(HALL)
    heard.first("hello")
    redis_server.start_redis()
    heard.wait(lambda heard: len(heard.of_type("hello")) > 1, seconds=5)
    wait_until(lambda: web.reserve(new_user(), HALL, seat(1, 4)).status == 201, seconds=5, every=0.3)
    heard.first("seat-locked")


# --- Slow clients -----------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_client_that_never_reads_harms_nobody(realtime: Realtime, world: Database, redis) -> None:
    reader = realtime.seats(HALL)
    reader.first("hello")
    process = psutil.Process(realtime.process.pid)
    sleepers = [dead_client(realtime.port) for _ in range(5)]
    time.sleep(0.5)
    before = process.memory_info().rss

    last = flood(redis, frames=3000)  # 12 MB for each

    reader.wait(lambda heard: heard.messages[-1]["version"] == last, seconds=30)
    assert [message["version"] for message in reader.messages[1:]] == list(range(last - 2999, last + 1))
    grown = process.memory_info().rss - before
    print(f"grown by {grown / 1e6:.1f} MB for 5 clients that do not read 12 MB each")
    assert grown < 30e6
    open_before = len(process.net_connections())
    wait_until(lambda: len(process.net_connections()) <= open_before - 5, seconds=25, every=0.5)
    for sleeper in sleepers:
        sleeper.close()


def dead_client(port: int) -> socket.socket:
    """Shakes hands and never reads again."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(
        f"GET /ws/seats/{HALL} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    return client


def test_a_client_that_was_slow_is_told_to_fetch_and_goes_on(realtime: Realtime, world: Database, redis) -> None:
    with connect(f"ws://127.0.0.1:{realtime.port}/ws/seats/{HALL}", max_queue=1) as connection:
        connection.recv()
        last = flood(redis, frames=3000)
        time.sleep(1)
        heard = []
        while not heard or heard[-1].get("version") != last or heard[-1]["type"] == "hello":
            frame = json.loads(connection.recv(timeout=10))
            heard += frame["messages"] if frame["type"] == "batch" else [frame]
            if heard[-1]["type"] == "hello" and heard[-1]["version"] == last:
                break
    greetings = [place for place, message in enumerate(heard) if message["type"] == "hello"]
    assert greetings, "it has missed something and was told so"
    after = [message["version"] for message in heard[greetings[-1] :]]
    assert after == list(range(after[0], last + 1))
    assert len(heard) < 3000


# --- Rubbish ----------------------------------------------------------------------------------------------------------


def test_rubbish_is_answered_and_the_socket_stays(realtime: Realtime, web: Api, world: Database) -> None:
    heard = realtime.seats(HALL)
    heard.first("hello")
    heard.send({"type": "heartbeat"})
    rubbish = [
        "",
        "{",
        "[]",
        "null",
        "[" * 3000,
        '{"type":1}',
        {"type": "seat-locked"},
        b"\x00\xff",
        b'{"type":"nope"}',
        "\x00",
    ]
    for something in rubbish:
        heard.send(something)
    heard.wait(lambda heard: len(heard.of_type("error")) == len(rubbish))
    assert all(set(error) == {"type", "code", "message"} for error in heard.of_type("error"))
    web.reserve(new_user(), HALL, seat(1, 1))
    heard.first("seat-locked")


def test_floods_and_huge_frames_close_the_socket(realtime: Realtime, world: Database) -> None:
    for size, code in ((4097, 1009), (1_000_000, 1009)):
        heard = realtime.seats(HALL)
        heard.send("x" * size)
        assert heard.closed_with() == code
    heard = realtime.seats(HALL)
    with suppress(ConnectionClosed):
        for _ in range(100_000):
            heard.send({"type": "heartbeat"})
    assert heard.closed_with() == 1008


def test_what_is_not_even_a_frame(realtime: Realtime, world: Database) -> None:
    for raw in (
        b"\x81\x84\x00\x00\x00\x00\xff\xfe\xfd\xfc",  # not UTF-8
        b"\xff" * 64,
        b"\x81\x7f" + struct.pack("!Q", 2**62),
        b"\x80\x80\x00\x00\x00\x00",  # goes on with nothing
        b"\x89\xfe\x01\x00" + bytes(4 + 256),  # a ping that is too long
    ):
        client = dead_client(realtime.port)
        client.settimeout(10)
        assert client.recv(1000).startswith(b"HTTP/1.1 101")
        client.sendall(raw)
        while client.recv(65536):
            pass
        client.close()
    for path in ("/", "/ws", "/ws/nothing", "/ws/seats/", f"/ws/seats/{HALL}/more"):
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://127.0.0.1:{realtime.port}{path}").__enter__()
        assert refused.value.response.status_code == 403


def test_ids_that_are_none(realtime: Realtime, world: Database) -> None:
    assert realtime.seats("42").closed_with() == 4400
    assert realtime.seats("%00").closed_with() == 4400
    unknown = realtime.seats(new_user())
    assert (unknown.closed_with(), unknown.messages) == (4404, [])
    assert realtime.seats(HALL.upper()).first("hello")["eventId"] == HALL


def test_no_token_is_in_the_log(realtime: Realtime, world: Database) -> None:
    secret = token(new_user())
    realtime.open(f"/ws/queue/{HALL}?token={secret}").first("queue-position")
    realtime.open(f"/ws/queue/{HALL}?token={secret[:-5]}wrong").closed_with()
    assert secret[:40] not in realtime.log.read_text()


@pytest.mark.long
def test_sockets_of_an_address_are_counted(database_url: str, logs: Path, world: Database) -> None:
    limits = {"WEBSOCKET_MAX_PER_ADDRESS": "3", "DATABASE_URL": database_url}

    def at(address: str) -> dict[str, dict[str, str]]:
        return {"additional_headers": {"X-Forwarded-For": address}}

    with running_realtime(logs / "realtime-few.log", **limits) as few:
        opened = [few.seats(HALL, **at(f"10.0.0.{number}")) for number in range(4)]  # believed by nobody
        assert [heard.wait(lambda heard: heard.code or heard.messages) for heard in opened][3] == 4429
        opened[0].close()
        wait_until(lambda: few.seats(HALL).wait(lambda heard: heard.code or heard.messages) != 4429, seconds=5)
    with running_realtime(logs / "realtime-proxied.log", **limits, TRUSTED_PROXIES="1") as proxied:
        for _ in range(3):
            proxied.seats(HALL, **at("6.6.6.6, 10.0.0.1")).first("hello")
        assert proxied.seats(HALL, **at("7.7.7.7, 10.0.0.1")).closed_with() == 4429
        proxied.seats(HALL, **at("10.0.0.1, 10.0.0.2")).first("hello")


# --- Starting and stopping --------------------------------------------------------------------------------------------


def test_a_process_that_is_stopped_sends_everybody_away_with_a_hint(
    database_url: str, logs: Path, world: Database
) -> None:
    log = logs / "realtime-stopped.log"
    with running_realtime(log, DATABASE_URL=database_url) as stopped:
        sockets = [stopped.seats(HALL) for _ in range(40)]
        for heard in sockets:
            heard.first("hello")
        stopped.process.send_signal(signal.SIGTERM)
        hints = [heard.first("retry")["afterMs"] for heard in sockets]
        assert {heard.closed_with() for heard in sockets} == {1012}
        stopped.process.wait(10)
    assert max(hints) - min(hints) > 1000, "spread out"
    assert all(0 <= hint < 5000 for hint in hints)
    assert "Traceback" not in log.read_text()


@pytest.mark.long
def test_daphne_serves_sockets_beside_everything_else(database_url: str, logs: Path, world: Database) -> None:
    """`manage.py runserver`, as a developer calls it."""
    port, log = free_port(), logs / "runserver.log"
    command = [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    with log.open("wb") as output:
        running = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "DATABASE_URL": database_url}, stdout=output, stderr=output
        )
    try:
        api = Api(port)
        wait_until(lambda: running.poll() is not None or is_up(api, "/health/live"), seconds=60)
        server = Realtime(port, log, running)
        viewer = Viewer(api, server, HALL)
        user = new_user()
        waiting = server.open(f"/ws/queue/{HALL}", subprotocols=["bearer", token(user)])
        assert waiting.first("queue-position")["state"] == "none"
        assert waiting.connection.subprotocol == "bearer"
        assert api.reserve(user, HALL, seat(1, 1)).status == 201
        wait_until(viewer.is_right, seconds=10)
        assert viewer.heard.of_type("seat-locked")
        heard = server.seats(HALL)
        heard.send("rubbish")
        heard.first("error")
        assert server.open(f"/ws/queue/{HALL}").closed_with() == 4401
        for transport in ("websocket", "polling"):
            client = OfPython(port, "/", {"token": token(user)}, [("join-event", HALL)], [transport])
            assert client.first("room-info")["eventId"] == HALL
            client.close()
        server.close_all()
    finally:
        running.terminate()
        running.wait(15)
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]
