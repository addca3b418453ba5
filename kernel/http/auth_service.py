"""The call to the Auth Service, with limits for its whole duration, its size, and the threads that wait for it."""

import io
import socket
import time
from functools import cache
from http.client import HTTPResponse
from typing import Any

import orjson
import urllib3
from django.conf import settings
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from kernel.concurrency.circuit_breaker import BreakerOpen, CircuitBreaker
from kernel.concurrency.slots import NoSlot, Slots

TIMEOUT = 2.0  # seconds for the whole call
MAX_BYTES = 64 * 1024
STATUSES = (200, 400, 401, 403, 404)  # those that say something about the token
PATIENCE = 0.25  # seconds


class NoAnswer(Exception):
    """The Auth Service did not respond in time, or not as it should, or was not asked."""


_breaker = CircuitBreaker(failure_threshold=3, reset_timeout=2.0, failure_types=(HTTPError, NoAnswer))


def post_token(token: str) -> tuple[int, bytes]:
    """POST /auth/verify-token, and return status (one of STATUSES) and body. Raises NoAnswer."""
    try:
        with _slots(), _breaker:
            return _post(f"{settings.AUTH_SERVICE_URL}/auth/verify-token", orjson.dumps({"token": token}))
    except (NoSlot, BreakerOpen, HTTPError) as error:
        raise NoAnswer from error


@cache
def _slots() -> Slots:
    # A quarter of the threads of `web` never waits for the Auth Service: requests without a token are served meanwhile.
    return Slots(max(1, settings.WEB_THREADS * 3 // 4), patience=PATIENCE)


def _post(url: str, body: bytes) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    response = _http().request("POST", url, body=body, headers=headers, redirect=False, preload_content=False)
    try:
        data = response.read(MAX_BYTES + 1, decode_content=False)
    except BaseException:
        response.close()
        raise
    if len(data) > MAX_BYTES or response.status not in STATUSES:
        response.close()
        raise NoAnswer(f"status {response.status}, {len(data)} bytes")
    response.release_conn()
    return response.status, data


@cache
def _http() -> urllib3.PoolManager:
    http = urllib3.PoolManager(maxsize=32, retries=False, timeout=urllib3.Timeout(total=TIMEOUT, connect=TIMEOUT))
    http.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return http


# --- The time limit ----------------------------------------------------------------------------------------------------
# urllib3's time limit is for each piece that arrives: a service that sends a byte each second is waited for forever.


class _TimedReader(io.RawIOBase):
    """Reads a socket until a moment of `time.monotonic()`. Raises TimeoutError."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket, until: float) -> None:
        self._raw = raw
        self._connection = connection
        self._until = until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._connection.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(HTTPResponse):
    """A response, headers and body, that must be there before the socket's timeout is over."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        until = time.monotonic() + (sock.gettimeout() or TIMEOUT)  # what urllib3 has left of the total
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock, until))


class _Connection(HTTPConnection):
    response_class = _TimedResponse


class _SecureConnection(HTTPSConnection):
    response_class = _TimedResponse


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection
