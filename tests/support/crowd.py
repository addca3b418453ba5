"""Many WebSockets in one thread, which note what they hear."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.harness import wait_until

CacheStore = Callable[[int, str], Sequence[str]]


class Crowd:
    """`answers`: what the socket of this number says to a frame."""

    def __init__(self, urls: Sequence[str], *, answers: CacheStore | None = None) -> None:
        self.heard: list[list[str]] = [[] for _ in urls]
        self.codes: list[int | None] = [None] * len(urls)
        self._answers = answers
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._open = 0
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run(urls)), daemon=True)
        self._thread.start()
        wait_until(lambda: self._open == len(urls), seconds=60)

    def wait(self, condition: Callable[[list[str]], Any], *, seconds: float = 20) -> None:
        """Until it is true of what each has heard."""
        wait_until(lambda: all(condition(heard) for heard in self.heard), seconds=seconds, every=0.02)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    async def _run(self, urls: Sequence[str]) -> None:
        few = asyncio.Semaphore(50)
        sockets = [asyncio.create_task(self._follow(number, url, few)) for number, url in enumerate(urls)]
        await self._stop.wait()
        for task in sockets:
            task.cancel()
        await asyncio.gather(*sockets, return_exceptions=True)

    async def _follow(self, number: int, url: str, few: asyncio.Semaphore) -> None:
        async with few:
            socket = await connect(url, open_timeout=30, compression=None, ping_interval=None)
        self._open += 1
        try:
            async for frame in socket:
                self.heard[number].append(str(frame))
                for answer in self._answers(number, str(frame)) if self._answers else ():
                    await socket.send(answer)
        except ConnectionClosed:
            pass
        finally:
            self.codes[number] = socket.close_code
            await socket.close()
