"""A connection pool that keeps threads from waiting for a PostgreSQL that does not respond: a breaker behind a bulkhead.

Nothing in libpq ends the wait for a server that is paused: its kernel still acknowledges what it is sent.
"""

import logging
import os
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import Connection, OperationalError
from psycopg.pq import ConnStatus
from psycopg_pool import ConnectionPool

from kernel.concurrency.bulkhead import BulkheadFull, database_bulkhead

POLL_SECONDS = 0.1
SUSPICIOUS_SECONDS = 0.3  # without a result: after that PostgreSQL is asked whether it responds at all,
ANSWER_SECONDS = 0.4  # and unless it does within this time, it is away
ABORT_SECONDS = 0.8  # for a short stall; then the statements that wait for their results are given up, too
CONNECT_SECONDS = 2  # the least that psycopg takes for `connect_timeout`

logger = logging.getLogger(__name__)


class DatabaseAway(OperationalError):
    """PostgreSQL does not respond, or as many threads as may wait for it do so already."""


@dataclass(slots=True)
class _Loan:
    connection: "Connection[Any] | None" = None  # None while it is waited for
    since: float = field(default_factory=time.monotonic)


class GuardedPool(ConnectionPool["Connection[Any]"]):
    """A pool that lends connections only to threads with a place in the bulkhead, and none while PostgreSQL is away.

    When a connection is out for long and none comes back, or one comes back broken, a connection of the watcher's own finds
    out whether PostgreSQL responds. If not, nobody waits for it any longer, until it responds to the watcher again: its
    conninfo is `address`. `getconn` raises OperationalError.
    """

    def __init__(self, *, address: str, **options: Any) -> None:
        self._address = address
        self._bulkhead = database_bulkhead()
        self._loans: dict[int, _Loan] = {}  # by thread: each has one connection at a time
        self._suspicion = threading.Event()
        self._last_return = time.monotonic()  # of a connection that works
        super().__init__(**options)

    def getconn(self, timeout: float | None = None) -> "Connection[Any]":
        try:
            self._bulkhead.enter()
        except BulkheadFull:
            raise DatabaseAway("PostgreSQL does not respond") from None
        loan = self._loans[threading.get_ident()] = _Loan()
        try:
            loan.connection = super().getconn(timeout)
        except BaseException:
            self._end_loan()
            raise
        return loan.connection

    def putconn(self, conn: "Connection[Any]") -> None:
        if conn.pgconn.status == ConnStatus.BAD:
            self._suspicion.set()
        else:
            self._last_return = time.monotonic()
        try:
            super().putconn(conn)
        finally:
            self._end_loan()

    def _end_loan(self) -> None:
        self._loans.pop(threading.get_ident(), None)
        self._bulkhead.leave()

    def _start_workers(self) -> None:
        super()._start_workers()
        threading.Thread(target=self._watch, name=f"{self.name}-watcher", daemon=True).start()

    def _watch(self) -> None:
        asking = ThreadPoolExecutor(1, f"{self.name}-asking")
        while not self.closed:
            is_suspected = self._suspicion.wait(POLL_SECONDS)
            self._suspicion.clear()
            if not (is_suspected or self._is_stuck()):
                continue
            asked, asked_at = asking.submit(self._ask), time.monotonic()
            # Under load others may get results before a new connection does.
            if _is_answered(asked, ANSWER_SECONDS) or self._last_return > asked_at:
                self._suspicion.wait(1.0)  # somebody waits for a slow statement, or for a row
                continue
            self._set_away(is_away=True)
            away_since = time.monotonic()
            while not self.closed and not _is_answered(asked, POLL_SECONDS):
                if time.monotonic() - away_since > ABORT_SECONDS:
                    self._abort_statements()
                if asked.done():
                    time.sleep(POLL_SECONDS)
                    asked = asking.submit(self._ask)
            self.check()  # connections that have died would fail one request each
            self._set_away(is_away=False)
        asking.shutdown(wait=False)

    def _is_stuck(self) -> bool:
        stuck_since = time.monotonic() - SUSPICIOUS_SECONDS
        return self._last_return < stuck_since and any(loan.since < stuck_since for loan in list(self._loans.values()))

    def _ask(self) -> None:
        try:
            with psycopg.connect(self._address, autocommit=True, connect_timeout=CONNECT_SECONDS) as connection:
                connection.execute("SELECT 1")
        except OperationalError as error:
            if not any(sign in str(error) for sign in ("too many", "connection slots")):  # full, but it responds
                raise

    def _set_away(self, *, is_away: bool) -> None:
        logger.warning("PostgreSQL does not respond" if is_away else "PostgreSQL responds again")
        self._bulkhead.set_closed(is_closed=is_away)

    def _abort_statements(self) -> None:
        """End the waits for results, by ending the connections."""
        for loan in list(self._loans.values()):
            if loan.connection is not None and time.monotonic() - loan.since > ABORT_SECONDS:
                with suppress(OSError, psycopg.Error), socket.socket(fileno=_duplicate(loan.connection)) as handle:
                    handle.shutdown(socket.SHUT_RDWR)


def _duplicate(connection: "Connection[Any]") -> int:
    return os.dup(connection.pgconn.socket)


def _is_answered(asked: "Future[None]", seconds: float) -> bool:
    try:
        asked.result(seconds)
    except (NotYet, psycopg.Error):
        return False
    return True
