"""The connection writer: frames in order, at once while the client reads, in a bounded buffer while it does not."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from kernel.realtime import metrics, writer
from kernel.realtime.channel import Publication, TextFrame
from kernel.realtime.close_codes import TOO_SLOW
from kernel.realtime.writer import MAX_BUFFERED, ConnectionWriter

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class AsgiServer:
    """The server's side of a connection, by ASGI's `send`. `reads` is cleared while the client does not read."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.started = 0  # how often `send` was called
        self.reads = asyncio.Event()
        self.reads.set()
        self.error: Exception | None = None
        self.is_cancelled = False

    async def send(self, event: dict[str, str]) -> None:
        self.started += 1
        if not self.reads.is_set():
            try:
                await self.reads.wait()
            except asyncio.CancelledError:
                self.is_cancelled = True
                raise
        if self.error is not None:
            raise self.error
        self.sent.append(event["text"])


class FrameServer(AsgiServer):
    """One that takes encoded frames, too, as `kernel.realtime.uvicorn_protocol` does."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[bytes] = []

    def write_frame(self, frame: bytes) -> bool:
        if not self.reads.is_set():
            return False
        self.frames.append(frame)
        self.sent.append(text_of(frame))
        return True


class Dropped:
    """Notes how the connection was dropped, and closes the writer, as every `drop` does."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, str]] = []
        self.writer: ConnectionWriter | None = None

    def __call__(self, code: int, reason: str, /) -> None:
        self.calls.append((code, reason))
        assert self.writer is not None
        self.writer.close()


def text_of(frame: bytes) -> str:
    """As a client decodes it, with a library that has nothing of ours."""
    client = ClientProtocol(parse_uri("ws://localhost/"), state=OPEN, max_size=None)
    client.receive_data(frame)
    (received,) = client.events_received()
    assert received.opcode is Opcode.TEXT
    assert received.fin
    return received.data.decode()


def writing(server: AsgiServer) -> tuple[ConnectionWriter, Dropped]:
    dropped = Dropped()
    dropped.writer = ConnectionWriter(server.send, dropped)
    return dropped.writer, dropped


async def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def slow_clients(outcome: str) -> float:
    return metrics.websocket_slow_clients.labels(outcome=outcome)._value.get()


# --- While the client reads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [AsgiServer, FrameServer])
async def test_a_frame_is_with_the_server_when_write_returns(kind: type[AsgiServer]) -> None:
    server = kind()
    connection, dropped = writing(server)
    before = asyncio.all_tasks()
    connection.write(TextFrame("one"))
    connection.send({"type": "two"})
    connection.on_publication(Publication([{"type": "three"}, {"type": "four"}]))
    batch = '{"type":"batch","messages":[{"type":"three"},{"type":"four"}]}'
    assert server.sent == ["one", '{"type":"two"}', batch]
    assert asyncio.all_tasks() == before, "no task for a client that reads"
    assert dropped.calls == []


async def test_a_server_that_takes_encoded_frames_gets_the_same_bytes_for_every_connection() -> None:
    servers = [FrameServer() for _ in range(3)]
    publication = Publication([{"type": "seat-locked", "seatId": "A1"}])
    for server in servers:
        writing(server)[0].on_publication(publication)
        assert server.started == 0, "and is not asked to encode them again"
    assert servers[0].frames[0] is servers[1].frames[0] is servers[2].frames[0]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
async def test_a_client_decodes_an_encoded_frame_of_any_size(size: int) -> None:
    text = "석" * (size // 3) + "x" * (size % 3)
    frame = TextFrame(text)
    assert len(text.encode()) == size
    assert text_of(frame.encoded) == frame["text"] == text
    assert frame["type"] == "websocket.send"


# --- While the client does not read -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [AsgiServer, FrameServer])
async def test_frames_keep_their_order_when_the_client_reads_now_and_then(kind: type[AsgiServer]) -> None:
    server = kind()
    connection, dropped = writing(server)
    for number in range(200):
        if number % 7 == 3:
            server.reads.clear()
        elif number % 7 == 6:
            server.reads.set()  # and at once another frame, before those in the buffer were sent
        connection.write(TextFrame(str(number)))
        if number % 11 == 0:
            await asyncio.sleep(0)
    server.reads.set()
    await until(lambda: len(server.sent) == 200)
    assert server.sent == [str(number) for number in range(200)]
    assert dropped.calls == []
    await settle()
    started = server.started
    connection.write(TextFrame("again at once"))
    assert server.sent[-1] == "again at once"
    assert server.started == started + (kind is AsgiServer)


async def test_the_buffer_takes_so_many_characters_beside_the_frame_that_is_being_sent() -> None:
    server = AsgiServer()
    connection, dropped = writing(server)
    for _ in range(3):  # what was sent makes room again
        server.reads.clear()
        count = len(server.sent)
        connection.write(TextFrame("being sent"))
        connection.write(TextFrame("x" * (MAX_BUFFERED - 1)))
        connection.write(TextFrame("y"))
        assert dropped.calls == []
        server.reads.set()
        await until(lambda: len(server.sent) == count + 3)  # noqa: B023 - awaited here
        await settle()
    server.reads.clear()
    closed = slow_clients("closed")
    connection.write(TextFrame("being sent"))
    connection.write(TextFrame("x" * MAX_BUFFERED))
    connection.write(TextFrame("y"))
    assert dropped.calls == [(TOO_SLOW, "too slow")]
    assert slow_clients("closed") == closed + 1


async def test_a_full_buffer_is_replaced_by_what_on_overflow_gives() -> None:
    server = AsgiServer()
    connection, dropped = writing(server)
    hellos = [Publication([{"type": "hello", "version": version}]) for version in (7, 8)]
    connection.on_overflow = iter(hellos).__next__
    server.reads.clear()
    refetches = slow_clients("refetch")
    connection.write(TextFrame("being sent"))
    for letter in "abc":  # the third is one too many
        connection.write(TextFrame(letter * (MAX_BUFFERED // 2)))
    assert slow_clients("refetch") == refetches + 1
    connection.write(TextFrame("after the hello"))
    for letter in "de":  # and once more
        connection.write(TextFrame(letter * (MAX_BUFFERED // 2)))
    connection.write(TextFrame("the last"))
    server.reads.set()
    await until(lambda: server.sent and server.sent[-1] == "the last")
    assert [sent if sent[0] != "{" else json.loads(sent)["version"] for sent in server.sent] == [
        "being sent", 8, "the last",
    ]  # fmt: skip
    assert slow_clients("refetch") == refetches + 2
    assert dropped.calls == []


async def test_after_the_replacement_later_frames_follow() -> None:
    server = AsgiServer()
    connection, _ = writing(server)
    connection.on_overflow = lambda: Publication([{"type": "hello"}])
    server.reads.clear()
    connection.write(TextFrame("being sent"))
    connection.write(TextFrame("x" * MAX_BUFFERED))
    connection.write(TextFrame("one too many, and lost with the rest"))
    connection.write(TextFrame("later"))
    server.reads.set()
    await until(lambda: len(server.sent) == 3)
    assert server.sent == ["being sent", '{"type":"hello"}', "later"]


async def test_a_client_that_takes_nothing_for_a_while_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "STALLED_SECONDS", 0.05)
    server = AsgiServer()
    connection, dropped = writing(server)
    server.reads.clear()
    closed = slow_clients("closed")
    connection.write(TextFrame("stuck"))
    await until(lambda: dropped.calls)
    assert dropped.calls == [(TOO_SLOW, "too slow")]
    assert slow_clients("closed") == closed + 1
    await asyncio.sleep(0.15)
    assert len(dropped.calls) == 1, "once is enough"


async def test_a_client_that_takes_something_now_and_then_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "STALLED_SECONDS", 0.2)
    permits, sent = asyncio.Semaphore(0), []

    async def send(event: dict[str, str]) -> None:
        await permits.acquire()
        sent.append(event["text"])

    dropped = Dropped()
    dropped.writer = connection = ConnectionWriter(send, dropped)
    for number in range(10):
        connection.write(TextFrame(str(number)))
    for _ in range(8):  # 0.8 s with a buffer that is never empty
        await asyncio.sleep(0.1)
        permits.release()
    assert dropped.calls == []
    assert len(sent) >= 7
    await until(lambda: dropped.calls)  # and then it takes nothing any more
    assert dropped.calls == [(TOO_SLOW, "too slow")]
    assert sent == [str(number) for number in range(8)]


async def test_a_client_that_has_caught_up_is_not_dropped_for_having_been_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "STALLED_SECONDS", 0.1)
    server = AsgiServer()
    connection, dropped = writing(server)
    server.reads.clear()
    connection.write(TextFrame("one"))
    server.reads.set()
    await until(lambda: server.sent == ["one"])
    await asyncio.sleep(0.06)
    server.reads.clear()
    connection.write(TextFrame("two"))
    await asyncio.sleep(0.06)  # 0.12 s after the first wait began, and half that after the second
    assert dropped.calls == []
    server.reads.set()
    await until(lambda: server.sent == ["one", "two"])
    await asyncio.sleep(0.25)  # nor for having nothing to read since
    assert dropped.calls == []


# --- The end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_begun", [True, False])
async def test_nothing_is_written_after_close_and_the_buffer_is_lost(has_begun: bool) -> None:
    server = AsgiServer()
    connection, dropped = writing(server)
    server.reads.clear()
    connection.write(TextFrame("being sent"))
    connection.write(TextFrame("in the buffer"))
    if has_begun:
        await settle()
    connection.close()
    await settle()
    assert server.is_cancelled == has_begun
    server.reads.set()
    connection.write(TextFrame("too late"))
    connection.close()
    await settle()
    assert server.sent == []
    assert dropped.calls == []


@pytest.mark.parametrize("when", ["at once", "after a wait", "in the buffer"])
async def test_an_error_of_the_server_closes_the_writer_and_is_not_raised(when: str) -> None:
    server = AsgiServer()
    connection, dropped = writing(server)
    if when != "at once":
        server.reads.clear()
        connection.write(TextFrame("waits"))
        if when == "in the buffer":
            connection.write(TextFrame("next"))
    server.error = ConnectionResetError("the client is gone")
    server.reads.set()
    connection.write(TextFrame("is lost"))
    await until(lambda: connection.is_closed)
    await settle()
    started = server.started
    connection.write(TextFrame("is not tried"))
    await settle()
    assert server.started == started
    assert server.sent == []
    assert dropped.calls == []
