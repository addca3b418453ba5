"""Engine.IO: every packet, legal or not, in every state of a session, is answered at once; nothing is left of a session."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from kernel.realtime import quotas
from kernel.realtime.close_codes import POLICY_VIOLATION, TOO_SLOW
from kernel.realtime.socketio import engine
from kernel.realtime.socketio.engine import EngineConnection
from kernel.realtime.socketio.server import NamespaceClient
from tests.support.engineio import Site, WebSocketClient, until, upgraded

pytestmark = pytest.mark.anyio

ANSWER_SECONDS = 1.0
PACKETS = [
    "", "0", "0{}", "1", "1x", "2", "2probe", "2x", "3", "3probe", "5", "5x", "6", "6x", "7", "9", "b", "bAAAA", "x", "{}",
    "\x00", "d=40", "4", "4x", "40", "40{}", "40[1]", "40/nowhere,", '40/nowhere,{"token":"x"}', "41", "41/nowhere,", "42",
    "42[]", '42["x",1]', '42/nowhere,["x",1]', '421["x",1]', '42' + "9" * 4000 + '["x",1]', '42["connect",{}]',
    '42["disconnect"]', "43[]", "431[]", "44", '45-["x"]', '451-["x",{"_placeholder":true,"num":0}]', "46-[]",
    "4" + "[" * 2000, "42" + "[" * 2000,
    "1\x1e1", "1\x1e3\x1e40", "40\x1e40", "40\x1e41\x1e40", "3\x1e2", "2\x1e40", "41\x1e1", "\x1e", "\x1e".join(["3"] * 40),
    "4" * 5000, b"\xff\xfe", b'42["\xff"]', b"\x1e" * 10,
]  # fmt: skip


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def site(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Site]:
    """Where no failure is hidden, and all is gone when its sessions have ended."""
    found = Site()
    with caplog.at_level(logging.ERROR):
        yield found
        for connection in tuple(found.connections.values()):
            connection.drop(1012, "the test is over")
        await until(lambda: leftovers(found) == {})
    assert not caplog.records, [record.getMessage() for record in caplog.records]


def leftovers(site: Site) -> dict[str, Any]:
    """What the server still holds of sessions."""
    server, manager = site.server, site.server.manager
    held = {
        "sockets": server.eio.sockets,
        "connections": server.eio.connections,
        "environ": server.environ,
        "clients": server._clients,
        "rooms": manager.rooms,
        "connecting": manager.pending_connect,
        "disconnecting": manager.pending_disconnect,
        "quota": quotas._connections_by_address["198.51.100.7"],
    }
    return {name: value for name, value in held.items() if value}


# --- The states of a session ------------------------------------------------------------------------------------------


async def opened(site: Site) -> str:
    return (await site.open(joins=False))[0]


async def joined(site: Site) -> str:
    return (await site.open())[0]


async def joined_and_not_read(site: Site) -> str:
    sid = await opened(site)
    await site.request("POST", sid, b"40")
    return sid


async def refused(site: Site) -> str:
    """It has not read yet that it was refused."""
    sid = await opened(site)
    await site.request("POST", sid, b"40/nowhere,")
    return sid


async def polled(site: Site) -> str:
    sid = await joined(site)
    site.tasks.append(asyncio.create_task(site.request("GET", sid)))
    await asyncio.sleep(0.01)
    return sid


async def about_to_upgrade(site: Site) -> str:
    sid, connection = await site.open()
    WebSocketClient(site, sid)
    await until(lambda: connection.websocket)
    return sid


async def upgrading(site: Site) -> str:
    sid, _ = await site.open()
    client = WebSocketClient(site, sid)
    client.send("2probe")
    await until(lambda: client.received)
    return sid


async def on_websocket(site: Site) -> str:
    connection, _ = await upgraded(site)
    return str(connection._eio.sid)


async def ended_by_client(site: Site) -> str:
    sid = await joined(site)
    await site.request("POST", sid, b"1")
    return sid


async def ended_by_server(site: Site) -> str:
    sid, connection = await site.open()
    connection.drop(TOO_SLOW, "too slow")
    return sid


async def unknown(site: Site) -> str:
    return "unknown"


STATES = [opened, joined, joined_and_not_read, refused, polled, about_to_upgrade, upgrading, on_websocket, ended_by_client,
          ended_by_server, unknown]  # fmt: skip
State = Callable[[Site], Awaitable[str]]


@pytest.mark.parametrize("state", STATES)
async def test_every_packet_by_polling_is_answered_at_once(state: State, site: Site) -> None:
    for packet in PACKETS:
        sid = await state(site)
        body = packet if isinstance(packet, bytes) else packet.encode()
        async with asyncio.timeout(ANSWER_SECONDS):
            status, _ = await site.request("POST", sid, body)
        assert status in (200, 400), packet
        if status == 400:
            await until(lambda sid=sid: sid not in site.server.eio.sockets or state is on_websocket)
        if state in (ended_by_client, ended_by_server, unknown):
            assert status == 400, packet


@pytest.mark.parametrize("state", STATES)
async def test_every_method_is_answered_at_once(state: State, site: Site) -> None:
    for method in ("POST", "OPTIONS", "PUT", "DELETE", "HEAD", "PATCH"):
        sid = await state(site)
        async with asyncio.timeout(ANSWER_SECONDS):
            assert (await site.request(method, sid))[0] in (200, 400, 405), method


@pytest.mark.parametrize("state", [ended_by_client, ended_by_server, unknown, on_websocket])
async def test_a_session_that_has_ended_cannot_be_polled(state: State, site: Site) -> None:
    sid = await state(site)
    await asyncio.sleep(0.01)
    async with asyncio.timeout(ANSWER_SECONDS):
        assert (await site.request("GET", sid))[0] == 400


@pytest.mark.parametrize("packet", PACKETS)
@pytest.mark.parametrize("state", ["new", "upgraded", "before the probe", "after the probe"])
async def test_every_packet_over_websocket_is_taken_or_closes_the_connection(
    state: str, packet: str | bytes, site: Site
) -> None:
    sid, client = "", None
    if state == "new":
        client = WebSocketClient(site)
        await until(lambda: client.received)
    elif state == "upgraded":
        _, client = await upgraded(site)
    else:
        sid, connection = await site.open()
        client = WebSocketClient(site, sid)
        await until(lambda: connection.websocket)
        if state == "after the probe":
            client.send("2probe")
            await until(lambda: client.received)
    if isinstance(packet, bytes):
        client.send(None, bytes=packet)
    else:
        client.send(packet)
    await asyncio.sleep(0.01)
    client.leave()
    await until(client.task.done)
    assert client.task.exception() is None


# --- What costs memory ------------------------------------------------------------------------------------------------


async def test_sessions_that_have_ended_leave_no_object_and_no_task(site: Site) -> None:
    for packet in ("1", "2", "6", "2probe", "5", "x", "40\x1e1"):
        for state in (opened, joined, refused):
            await site.request("POST", await state(site), packet.encode())
    for connection in tuple(site.connections.values()):
        connection.drop(POLICY_VIOLATION, "no more")
    await until(lambda: leftovers(site) == {})
    connection = None
    await asyncio.sleep(0.01)
    gc.collect()
    # Not isinstance: it asks a weak proxy for the class of what it stands for, which may be gone.
    kinds = [type(found) for found in gc.get_objects()]
    assert [kind for kind in kinds if issubclass(kind, EngineConnection | NamespaceClient)] == []
    assert [task for task in asyncio.all_tasks() if "_send_ping" in repr(task)] == []


async def test_a_session_that_ends_while_it_joins_leaves_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    going_on = asyncio.Event()

    async def on_connect(self: NamespaceClient, auth: Any) -> None:
        await going_on.wait()

    monkeypatch.setattr(NamespaceClient, "on_connect", on_connect)
    sid = await opened(site)
    joining = [asyncio.create_task(site.request("POST", sid, b"40")) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert (await site.request("POST", sid, b"1"))[0] == 200
    going_on.set()
    await asyncio.gather(*joining)
    await until(lambda: leftovers(site) == {})


async def test_a_client_that_joins_twice_is_told_so_and_is_not_connected_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[str] = []

    async def on_connected(self: NamespaceClient) -> None:
        connected.append(self.namespace)

    monkeypatch.setattr(NamespaceClient, "on_connected", on_connected)
    sid = await joined(site)
    await site.request("POST", sid, b"40")
    assert (await site.poll(sid))[0].startswith("44")
    assert connected == ["/"]


@pytest.mark.parametrize("packet", ['421["x",1]', "40/nowhere,", "42" + "1" * 3000 + '["x",1]'])
async def test_what_the_server_answers_to_a_client_that_never_polls_is_bounded(
    packet: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas, "FRAMES_PER_SECOND", 1e9)
    sid, connection = await site.open()
    for _ in range(20_000):
        if connection.is_closed:
            break
        await site.request("POST", sid, packet.encode())
        assert connection._queue.characters <= engine.MAX_BUFFERED + 5000
        assert connection._queue.qsize() <= engine.MAX_QUEUED
    assert connection.is_closed


async def test_a_second_poll_of_a_session_closes_it_and_neither_waits(site: Site) -> None:
    """As in Engine.IO's own server. Each poll that waits takes memory, and packets from the others."""
    sid, connection = await site.open()
    first = asyncio.create_task(site.poll(sid))
    await asyncio.sleep(0.01)
    async with asyncio.timeout(ANSWER_SECONDS):
        assert (await site.request("GET", sid))[0] == 400
        assert (await first)[-1] == "1", "Engine.IO's packet for a close"
    assert connection.is_closed


async def test_polls_one_after_the_other_do_not_overlap(site: Site) -> None:
    sid, connection = await site.open()
    for number in range(20):
        connection.send(engine.MessagePacket(f"2{number}"))
        assert await site.poll(sid) == [f"42{number}"]
    assert not connection.is_closed


# --- What the server before ours took for something else --------------------------------------------------------------


async def test_a_body_that_comes_in_chunks_without_a_length_is_read(site: Site) -> None:
    sid, _ = await site.open()
    events = [
        {"type": "http.request", "body": b'42["x",', "more_body": True},
        {"type": "http.request", "body": b'"whole"]', "more_body": False},
    ]
    assert (await site.exchange("POST", sid, events, [(b"transfer-encoding", b"chunked")]))[0] == 200
    assert site.events == ["whole"]


async def test_a_body_that_does_not_come_to_its_end_is_not_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BODY_SECONDS", 0.05)
    sid, connection = await site.open()
    events = [{"type": "http.request", "body": b"42", "more_body": True}]
    async with asyncio.timeout(ANSWER_SECONDS):
        assert (await site.exchange("POST", sid, events, []))[0] == 400
    assert not connection.is_closed


@pytest.mark.parametrize("state", [opened, joined, unknown])
async def test_a_plain_request_that_asks_for_a_websocket_is_refused(state: State, site: Site) -> None:
    sid = await state(site)
    for transport in ("polling", "websocket"):
        for method in ("GET", "POST"):
            if transport == "polling" and (state is not unknown or method == "POST"):
                continue
            headers = [(b"connection", b"keep-alive, Upgrade"), (b"upgrade", b"websocket")]
            async with asyncio.timeout(ANSWER_SECONDS):
                status, _ = await site.exchange(method, sid, [{"type": "http.request"}], headers, transport=transport)
            assert status == 400, (transport, method)
    assert len(site.server.eio.sockets) == (state is not unknown)


async def test_a_websocket_that_says_polling_is_refused(site: Site) -> None:
    client = WebSocketClient(site, transport="polling")
    await until(client.task.done)
    assert [code for code, _ in client.closed] == [1000], "before it was accepted: the server makes a 403 of it"
    assert leftovers(site) == {}
