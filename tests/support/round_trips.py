"""A TCP proxy that counts round trips: how often a client sends something and then hears something. It can hang, too."""

import os
import re
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.harness import Api, running_web


class Counter:
    def __init__(self) -> None:
        self.round_trips = 0
        self.port = 0
        self.goes_on = threading.Event()
        self.goes_on.set()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Takes connections and all that comes, and passes nothing on: as a server that was stopped, for who asks here."""
        self.goes_on.clear()
        try:
            yield
        finally:
            self.goes_on.set()

    def reset(self) -> None:
        self.round_trips = 0


@contextmanager
def counting_proxy(host: str, port: int) -> Iterator[Counter]:
    """Listens on `port` of the yielded counter and passes everything on to host:port."""
    counter = Counter()
    listener = socket.create_server(("127.0.0.1", 0))
    counter.port = listener.getsockname()[1]

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_pass_on, args=(client, host, port, counter), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield counter
    finally:
        listener.close()


def _pass_on(client: socket.socket, host: str, port: int, counter: Counter) -> None:
    asked = False  # something was sent that is not answered yet
    with client, socket.create_connection((host, port)) as server, selectors.DefaultSelector() as ready:
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ready.register(end, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                counter.goes_on.wait()
                try:
                    data = key.fileobj.recv(65536)
                    if not data:
                        return
                    if key.fileobj is client:
                        asked = True
                    elif asked:  # counted before it is passed on, so that whoever hears it can look at the count
                        counter.round_trips += 1
                        asked = False
                    (server if key.fileobj is client else client).sendall(data)
                except OSError:
                    return


@dataclass
class Counted:
    api: Api
    postgresql: Counter
    redis: Counter

    def during(self, call) -> tuple[int, int]:
        """Round trips to PostgreSQL and to Redis that one request takes."""
        self.postgresql.reset()
        self.redis.reset()
        assert call().status < 300
        return self.postgresql.round_trips, self.redis.round_trips


@contextmanager
def running_counted(log: Path, database_url: str, **environment: str) -> Iterator[Counted]:
    """`web` with one thread, whose round trips are counted. Redis is that of REDIS_URL."""
    database, redis = urlsplit(database_url), urlsplit(os.environ["REDIS_URL"])
    with (
        counting_proxy(database.hostname, database.port or 5432) as postgresql,
        counting_proxy(redis.hostname, redis.port or 6379) as redis_counter,
    ):
        urls = {
            "DATABASE_URL": re.sub(r"@[^/]+/", f"@127.0.0.1:{postgresql.port}/", database_url),
            "REDIS_URL": f"redis://127.0.0.1:{redis_counter.port}/0",
        }
        # One connection: of several each prepares its statements when its turn comes, and that is a round trip.
        one_of_each = {"WEB_WORKERS": "1", "WEB_THREADS": "1", "DATABASE_POOL_SIZE": "1"}
        with running_web(log, **one_of_each, **urls, **environment) as api:
            yield Counted(api, postgresql, redis_counter)
