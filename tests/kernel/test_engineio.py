"""Engine.IO: what goes out is bounded and in order over every transport, what comes in is refused before it does harm."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from engineio.packet import NOOP, PING, Packet

from kernel.realtime import metrics, quotas
from kernel.realtime.close_codes import INVALID_PAYLOAD, MESSAGE_TOO_BIG, POLICY_VIOLATION, TOO_SLOW
from kernel.realtime.quotas import FRAME_BURST, MAX_FRAME_BYTES
from kernel.realtime.socketio import engine, server
from kernel.realtime.socketio.engine import (
    VALID_PACKET,
    MessagePacket,
    PacketQueue,
)
from kernel.realtime.writer import MAX_BUFFERED
from tests.support.engineio import Site, WebSocketClient, until, upgraded

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def site(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    found = Site()
    record = quotas.ConnectionQuota.record_close

    def note(quota: quotas.ConnectionQuota, code: int, reason: str) -> None:
        found.closed.append(code)
        record(quota, code, reason)

    monkeypatch.setattr(quotas.ConnectionQuota, "record_close", note)
    yield found
    for connection in tuple(found.connections.values()):
        connection.drop(1012, "the test is over")
    await until(lambda: not found.connections)
    assert quotas._connections_by_address["198.51.100.7"] == 0, "every connection is released"


# --- Packets and their queue ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packet", [
    "40", '40/queue/1,{"token":"x"}', "41", '42["join-event","1"]', "42/seats/1,[]", "42" + "\n", "1", "3", "5", "6", "2",
    "2probe", "3probe",
])  # fmt: skip
def test_packets_that_clients_send_are_valid(packet: str) -> None:
    assert VALID_PACKET.fullmatch(packet)


@pytest.mark.parametrize("packet", [
    "", "4", "43[]", '44"x"', "45-[]", "46-1[]", "47", "0", "0{}", "7", "9", "bAAAA", "b", "1x", "5x", "6x", "2x", "2probes",
    " 40", "٤٢[]", "GET / HTTP/1.1", "\x00", "{}",
])  # fmt: skip
def test_other_packets_are_not(packet: str) -> None:
    """No acknowledgements and no binary ones: the server asks for none. No open, which only a server sends."""
    assert not VALID_PACKET.fullmatch(packet)


def test_a_message_is_the_same_over_polling_and_websocket() -> None:
    message = MessagePacket('2["hello",{"이름":"석"}]')
    assert message.packet.encode() == message.frame["text"] == '42["hello",{"이름":"석"}]'


async def test_the_queue_knows_its_size_and_what_is_not_sent_yet() -> None:
    queue = PacketQueue()
    for text in ("a", "bc"):
        await queue.put(MessagePacket(text).packet)
    await queue.put(None)  # engineio's mark for the end
    assert (queue.characters, queue.unsent) == (5, 3)
    await queue.get()
    assert (queue.characters, queue.unsent) == (3, 3), "taken, but perhaps not sent"
    queue.task_done()
    assert (queue.characters, queue.unsent) == (3, 2)
    queue.clear()
    assert (queue.characters, queue.unsent) == (0, 0)
    assert queue.empty()
    async with asyncio.timeout(1):
        await queue.join()


# --- Going out --------------------------------------------------------------------------------------------------------


async def test_a_polling_client_gets_what_was_sent_in_order(site: Site) -> None:
    sid, connection = await site.open()
    for number in range(5):
        connection.send(MessagePacket(f"2{number}"))
    assert await site.poll(sid) == [f"42{number}" for number in range(5)]
    poll = asyncio.create_task(site.poll(sid))
    await asyncio.sleep(0.01)
    assert not poll.done()
    connection.send(MessagePacket("2later"))
    assert await poll == ["42later"]


async def test_nothing_is_overtaken_or_lost_or_doubled_during_an_upgrade(site: Site) -> None:
    sid, connection = await site.open()
    sent = 0

    def send_some() -> None:
        nonlocal sent
        for _ in range(3):
            connection.send(MessagePacket(f"2{sent}"))
            sent += 1

    send_some()
    polled = await site.poll(sid)
    send_some()
    client = WebSocketClient(site, sid)
    send_some()
    client.send("2probe")
    send_some()
    await until(lambda: "3probe" in client.received)
    send_some()
    client.send("5")
    send_some()
    for _ in range(20):  # while engineio begins to send what is in its queue
        await asyncio.sleep(0)
        send_some()
    await until(lambda: f"42{sent - 1}" in client.received)
    for _ in range(20):
        send_some()
        await asyncio.sleep(0)
    await until(lambda: f"42{sent - 1}" in client.received)
    packets = [packet for packet in polled + client.received if packet.startswith("42")]
    assert packets == [f"42{number}" for number in range(sent)]


@pytest.mark.parametrize("steps", range(8))
async def test_a_message_does_not_overtake_what_engineio_is_about_to_send(steps: int, site: Site) -> None:
    connection, client = await upgraded(site)
    await until(lambda: not connection._queue.unsent)
    connection._queue.put_nowait(Packet(PING))
    for _ in range(steps):  # engineio takes a packet from the queue some steps of the event loop before it sends it
        await asyncio.sleep(0)
    connection.send(MessagePacket("2x"))
    await until(lambda: "42x" in client.received)
    assert client.received == ["2", "42x"]


async def test_until_the_upgrade_is_over_the_websocket_gets_no_messages(site: Site) -> None:
    """A client reads only the response to its probe from it, and would lose them."""
    sid, connection = await site.open()
    client = WebSocketClient(site, sid)
    await until(lambda: connection.websocket)
    connection.send(MessagePacket("2before"))
    client.send("2probe")
    await until(lambda: client.received)
    await asyncio.sleep(0.01)
    connection._queue.clear()  # as if it had been fetched by the last poll
    connection.send(MessagePacket("2during"))
    await asyncio.sleep(0.01)
    assert client.received == ["3probe"]
    client.send("5")
    await until(lambda: client.received == ["3probe", "42during"])


async def test_on_websocket_a_message_does_not_pass_through_the_queue(site: Site) -> None:
    connection, client = await upgraded(site)
    await until(lambda: not connection._queue.unsent)
    connection.send(MessagePacket("2now"))
    assert client.received == ["42now"], "it is with the server when send returns"


async def test_a_client_that_does_not_poll_is_dropped_when_its_queue_is_full(site: Site) -> None:
    _, connection = await site.open()
    slow = metrics.websocket_slow_clients.labels(outcome="closed")._value.get()
    big = MessagePacket("2" + "x" * (MAX_BUFFERED // 4 - 3))
    for _ in range(4):
        connection.send(big)
    assert not connection.is_closed
    connection.send(big)
    assert connection.is_closed
    assert connection._queue.characters == 0, "what it did not fetch takes no more memory"
    connection.send(big)
    assert connection._queue.characters == 0, "nor does what comes later"
    await until(lambda: not site.connections)
    assert site.closed == [TOO_SLOW]
    assert metrics.websocket_slow_clients.labels(outcome="closed")._value.get() == slow + 1


async def test_a_client_that_polls_gets_more_than_the_queue_takes(site: Site) -> None:
    sid, connection = await site.open()
    big = MessagePacket("2" + "x" * (MAX_BUFFERED // 2))
    for _ in range(10):
        connection.send(big)
        assert big.packet.encode() in await site.poll(sid)
    assert site.closed == []


async def test_a_client_on_websocket_that_does_not_read_is_dropped(site: Site) -> None:
    connection, client = await upgraded(site)
    await until(lambda: not connection._queue.unsent)
    slow = metrics.websocket_slow_clients.labels(outcome="closed")._value.get()
    client.reads.clear()
    for _ in range(6):
        connection.send(MessagePacket("2" + "x" * (MAX_BUFFERED // 4)))
    await until(lambda: client.closed)
    assert client.closed == [(TOO_SLOW, "too slow")]
    assert site.closed == [TOO_SLOW]
    assert metrics.websocket_slow_clients.labels(outcome="closed")._value.get() == slow + 1


async def test_a_poll_that_waits_ends_when_the_server_says_so(site: Site) -> None:
    sid, connection = await site.open()
    poll = asyncio.create_task(site.poll(sid))
    await asyncio.sleep(0.01)
    assert not poll.done()
    connection.end_poll()
    assert await poll == [Packet(NOOP).encode()]


async def test_the_poll_of_a_client_that_says_goodbye_ends_at_once(site: Site) -> None:
    sid, connection = await site.open()
    poll = asyncio.create_task(site.poll(sid))
    await asyncio.sleep(0.01)
    assert (await site.request("POST", sid, b"1"))[0] == 200
    assert await poll == [Packet(NOOP).encode()]
    assert connection.is_closed
    assert site.closed == []


# --- Coming in --------------------------------------------------------------------------------------------------------


async def test_packets_of_a_polling_client_are_taken_in_order(site: Site) -> None:
    sid, _ = await site.open()
    assert (await site.request("POST", sid, b'42["x",0]\x1e42["x",1]\x1e', b'42["x",2]'))[0] == 200
    assert site.events == [0, 1, 2]
    assert site.closed == []


@pytest.mark.parametrize(("chunks", "code"), [
    ([b"43[]"], INVALID_PAYLOAD),
    ([b'42["x",0]\x1ebAAAA'], INVALID_PAYLOAD),
    ([b""], INVALID_PAYLOAD),
    ([b"\xff\xfe"], INVALID_PAYLOAD),
    ([b"\x1e".join([b'42["x",0]'] * 17)], INVALID_PAYLOAD),  # engineio decodes 16
    ([b"42" + b"x" * (MAX_FRAME_BYTES - 1)], MESSAGE_TOO_BIG),
    ([b"42", b"x" * MAX_FRAME_BYTES, b"never read", b"never read"], MESSAGE_TOO_BIG),
])  # fmt: skip
async def test_a_request_with_a_bad_packet_closes_the_connection_and_none_is_taken(
    chunks: list[bytes], code: int, site: Site
) -> None:
    sid, connection = await site.open()
    status, body = await site.request("POST", sid, *chunks)
    assert (status, body) == (400, "")
    assert site.events == []
    assert site.closed == [code]
    assert connection.is_closed
    await until(lambda: not site.connections)


async def test_of_a_body_that_is_too_big_no_more_is_read_than_needed(site: Site) -> None:
    sid, _ = await site.open()
    events = [{"type": "http.request", "body": b"x" * 3000, "more_body": True} for _ in range(10)]
    assert (await site.exchange("POST", sid, events, []))[0] == 400
    assert len(events) == 8


async def test_as_much_as_a_frame_may_hold_is_taken(site: Site) -> None:
    sid, _ = await site.open()
    text = "x" * (MAX_FRAME_BYTES - len('42["x",""]'))
    assert (await site.request("POST", sid, f'42["x","{text}"]'.encode()))[0] == 200
    assert site.events == [text]


async def test_a_client_that_goes_while_it_sends_is_not_to_blame(site: Site) -> None:
    sid, connection = await site.open()
    events = [{"type": "http.request", "body": b"42", "more_body": True}, {"type": "http.disconnect"}]
    assert (await site.exchange("POST", sid, events, []))[0] == 400
    assert site.events == site.closed == []
    assert not connection.is_closed


@pytest.mark.parametrize("sid", ["", "unknown"])
async def test_a_request_of_nobody_is_refused(sid: str, site: Site) -> None:
    assert (await site.request("POST", sid, b'42["x",0]'))[0] == 400
    assert site.closed == []


async def test_a_flood_by_polling_closes_the_connection(site: Site) -> None:
    sid, _ = await site.open()
    ten = b"\x1e".join([b'42["x",0]'] * 10)
    accepted = 0
    while (await site.request("POST", sid, ten))[0] == 200:
        accepted += 10
        assert accepted < 2 * FRAME_BURST
    assert site.closed == [POLICY_VIOLATION]
    assert len(site.events) == accepted == FRAME_BURST - 10, "the packet that joins has taken one"


async def test_a_flood_over_websocket_closes_the_connection(site: Site) -> None:
    _, client = await upgraded(site)
    for _ in range(int(FRAME_BURST) + 5):
        client.send('42["x",0]')
    await until(lambda: client.closed)
    assert client.closed == [(POLICY_VIOLATION, "too many messages")]
    assert len(site.events) == FRAME_BURST - 3, "what joins and upgrades has taken three"


@pytest.mark.parametrize(("packet", "more", "code"), [
    ("43[]", {}, INVALID_PAYLOAD),
    ("", {}, INVALID_PAYLOAD),
    (None, {"bytes": b"\x00\x01"}, INVALID_PAYLOAD),
    ("42" + "x" * (MAX_FRAME_BYTES - 1), {}, MESSAGE_TOO_BIG),
    ("42" + "석" * 1400, {}, MESSAGE_TOO_BIG),  # fewer characters, but more bytes
])  # fmt: skip
async def test_a_bad_packet_over_websocket_closes_the_connection(
    packet: str | None, more: dict[str, Any], code: int, site: Site
) -> None:
    _, client = await upgraded(site)
    client.send('42["x","good"]')
    client.send(packet, **more)
    client.send('42["x","never read"]')
    await until(lambda: client.closed)
    assert [closed for closed, _ in client.closed] == site.closed == [code]
    assert site.events == ["good"]


# --- Connections ------------------------------------------------------------------------------------------------------


async def test_a_client_may_begin_with_websocket(site: Site) -> None:
    client = WebSocketClient(site)
    await until(lambda: client.received)
    assert client.received[0][0] == "0", "Engine.IO's open packet"
    client.send("40")
    client.send('42["x",1]')
    await until(lambda: site.events == [1])


async def test_a_second_websocket_of_a_connection_is_closed_and_the_first_goes_on(site: Site) -> None:
    sid, connection = await site.open()
    first, second = WebSocketClient(site, sid), None
    first.send("2probe")
    await until(lambda: first.received == ["3probe"])
    second = WebSocketClient(site, sid)
    await until(lambda: second.closed)
    assert second.received == []
    first.send("5")
    await until(lambda: site.server.eio.sockets[sid].upgraded)
    connection.send(MessagePacket("2x"))
    await until(lambda: "42x" in first.received)


@pytest.mark.parametrize("sent", [[], ["2probe"], ["2probe", "3"], ["3"]])
async def test_after_an_upgrade_that_fails_half_way_polls_get_messages_again(sent: list[str], site: Site) -> None:
    sid, connection = await site.open()
    client = WebSocketClient(site, sid)
    await until(lambda: connection.websocket)
    for packet in sent:
        client.send(packet)
    if "2probe" in sent:
        await until(lambda: client.received == ["3probe"])
    client.leave()
    await until(client.task.done)
    connection.send(MessagePacket("2x"))
    packets: list[str] = []
    async with asyncio.timeout(5):
        while "42x" not in packets:
            packets += await site.poll(sid)
    assert set(packets) <= {"6", "42x"}
    assert not connection.is_closed


async def test_a_connection_that_joins_no_namespace_is_dropped(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CONNECT_SECONDS", 0.05)
    _, idle = await site.open(joins=False)
    sid, joined = await site.open()
    await until(lambda: idle.is_closed)
    assert site.closed == [POLICY_VIOLATION]
    await asyncio.sleep(0.1)
    assert not joined.is_closed
    monkeypatch.setattr(server, "UNUSED_SECONDS", 0.05)
    assert (await site.request("POST", sid, b"41"))[0] == 200  # it leaves its only namespace
    await until(lambda: joined.is_closed)
    assert site.closed == [POLICY_VIOLATION] * 2


async def test_dropping_twice_is_the_same_as_once_and_the_first_code_counts(site: Site) -> None:
    connection, client = await upgraded(site)
    connection.drop(INVALID_PAYLOAD, "the first")
    connection.drop(TOO_SLOW, "the second")
    await until(lambda: client.closed)
    await until(client.task.done)
    assert client.closed == [(INVALID_PAYLOAD, "the first")]
    assert site.closed == [INVALID_PAYLOAD]
