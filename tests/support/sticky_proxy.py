"""A front for several `realtime` processes, as a proxy with sticky sessions is: a `sid` stays where it was made."""

import asyncio
import itertools
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from tests.support.harness import free_port

SID_GIVEN, SID_SAID = re.compile(rb"[?&]sid=([^& ]+)"), re.compile(rb'"sid":"([^"]+)"')


class Front:
    """New sessions go to the processes in turn. `sessions` says to which port each went."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.port = free_port()
        self.sessions: dict[bytes, int] = {}
        self._turns = itertools.cycle(ports)

    async def serve(self, stop: asyncio.Event, ready: threading.Event) -> None:
        async with await asyncio.start_server(self._serve, "127.0.0.1", self.port):
            ready.set()
            await stop.wait()
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            given = SID_GIVEN.search(head.partition(b"\r\n")[0])
            port = self.sessions[given[1]] if given else next(self._turns)
            if b"upgrade: websocket" not in head.lower():  # one request for each connection
                head = re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", head).replace(
                    b"\r\n", b"\r\nConnection: close\r\n", 1
                )
            there, back = await asyncio.open_connection("127.0.0.1", port)
            back.write(head)
            await asyncio.gather(_copy(reader, back), self._copy_answer(there, writer, port))
        writer.close()

    async def _copy_answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        while data := await reader.read(65536):
            for sid in SID_SAID.findall(data):
                self.sessions.setdefault(sid, port)
            writer.write(data)
            await writer.drain()
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@contextmanager
def running_front(ports: Sequence[int]) -> Iterator[Front]:
    front, stop, ready = Front(ports), asyncio.Event(), threading.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(front.serve(stop, ready)), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield front
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
