"""Calls of other services over HTTP, with limits for the whole duration of a call and for the size of its response."""

import io
import socket
import time
from functools import cache
from http.client import HTTPResponse
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

TIMEOUT = 2.0  # seconds for the whole call
MAX_BYTES = 64 * 1024


class NoAnswer(Exception):
    """The service did not respond in time, or not as it should, or was not asked."""


def post(url: str, body: bytes, *, content_type: str, statuses: tuple[int, ...]) -> tuple[int, bytes]:
    """Return status and body of the response. Raises urllib3's HTTPError, and NoAnswer for any other status.

    Redirects are not followed.
    """
    headers = {"Content-Type": content_type, "Accept-Encoding": "identity"}
    response = _http().request("POST", url, body=body, headers=headers, redirect=False, preload_content=False)
    try:
        data = response.read(MAX_BYTES + 1, decode_content=False)
    except BaseException:
        response.close()
        raise
    if len(data) > MAX_BYTES or response.status not in statuses:
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
