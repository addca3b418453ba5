"""Runs a WSGI application on granian's RSGI: a request takes a thread when its whole body is there, not before.

granian's own WSGI interface calls the application as soon as the headers are read, so that a client which sends its body
slowly, or never, keeps a thread for as long as it likes; granian has no time limit for bodies.
"""

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

import orjson
from django.conf import settings
from granian.rsgi import HTTPProtocol, ProtocolClosed, ProtocolError, Scope  # type: ignore[attr-defined]

from kernel.http.addresses import warn_of_ignored_header
from kernel.http.problems import JSON, PROBLEM_JSON, RequestTimeout, render_error
from kernel.observability.request_context import accept_request_id, record_request

logger = logging.getLogger(__name__)

Environment = dict[str, Any]
Application = Callable[[Environment, Callable[..., Any]], Iterable[bytes]]
UNREADABLE = "\xff"  # stands for a header's value that is not ASCII
MAX_DIGITS = 20  # of Content-Length; int() raises ValueError for thousands of them


class _Request(NamedTuple):
    environ: Environment
    protocol: HTTPProtocol
    answered: "asyncio.Future[None]"


class ThreadedApplication:
    """A WSGI application that granian runs with `--interface rsgi`, in `threads` threads of each worker.

    A body of up to `max_body_bytes` is read on the event loop, also one that is sent in chunks, within `body_seconds`;
    after that the response is a 408. A larger body is not read: the application gets its Content-Length, and refuses it.
    """

    def __init__(self, application: Application, *, threads: int, max_body_bytes: int, body_seconds: float) -> None:
        self._application = application
        self._threads = threads
        self._max_body_bytes = max_body_bytes
        self._body_seconds = body_seconds
        self._requests: SimpleQueue[_Request] = SimpleQueue()

    def __call__(self, environ: Environment, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request by WSGI, for servers that know nothing else."""
        return self._application(environ, start_response)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # Ctrl-C in a terminal reaches every process. granian takes a worker that ends by itself for one that has crashed;
        # its main process ends them, by SIGTERM.
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in range(self._threads):
            Thread(target=self._serve, name=f"web-{number}", daemon=True).start()

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        environ = _environment(scope)
        if _has_body(environ):
            started = time.perf_counter()
            try:
                async with asyncio.timeout(self._body_seconds):
                    await self._read_body(environ, protocol)
            except TimeoutError:
                _refuse_slow_body(environ, protocol, time.perf_counter() - started)
                return
            except (ProtocolClosed, ProtocolError):
                return  # the client has gone
        request = _Request(environ, protocol, self._loop.create_future())
        self._requests.put(request)
        await request.answered

    async def _read_body(self, environ: Environment, protocol: HTTPProtocol) -> None:
        """Replace the body in the environment; a body that was sent in chunks also gets its Content-Length."""
        length = environ.get("CONTENT_LENGTH")
        if length is not None and "HTTP_TRANSFER_ENCODING" not in environ:
            if length.isdecimal() and len(length) < MAX_DIGITS and int(length) <= self._max_body_bytes:
                environ["wsgi.input"] = BytesIO(await protocol())
            return
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        body = bytearray()
        async for chunk in protocol:
            body += chunk
            if len(body) > self._max_body_bytes:
                break
        environ["CONTENT_LENGTH"] = str(len(body))
        environ["wsgi.input"] = BytesIO(body)

    def _serve(self) -> None:
        while True:
            environ, protocol, answered = self._requests.get()
            try:
                protocol.response_bytes(*_call(self._application, environ))
            except BaseException:
                logger.exception("unexpected exception at %s", environ["PATH_INFO"])
                protocol.response_empty(500, [])
            with suppress(RuntimeError):  # the event loop is closed: the process ends
                self._loop.call_soon_threadsafe(answered.set_result, None)


def _call(application: Application, environ: Environment) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return status, headers and body of the application's response."""
    begun: list[Any] = []
    parts = application(environ, lambda status, headers, exc_info=None: begun.extend((int(status[:3]), headers)))  # noqa: ARG005
    try:
        # In one piece, whatever it is made of: a client that reads slowly must not keep a thread either.
        body = b"".join(parts)
    finally:
        if close := getattr(parts, "close", None):
            close()
    status, headers = begun
    return status, headers, body


def _refuse_slow_body(environ: Environment, protocol: HTTPProtocol, took: float) -> None:
    as_problem = PROBLEM_JSON in environ.get("HTTP_ACCEPT", "")
    status, body, _ = render_error(RequestTimeout(), as_problem=as_problem)
    request_id = accept_request_id(environ.get("HTTP_X_REQUEST_ID", ""))
    headers = [
        ("Content-Type", PROBLEM_JSON if as_problem else JSON),
        ("Connection", "close"),
        ("X-Request-Id", request_id),
    ]
    protocol.response_bytes(status, headers, orjson.dumps(body))
    record_request("none", environ["REQUEST_METHOD"], status, took, environ["PATH_INFO"])


# --- The environment ---------------------------------------------------------------------------------------------------

_SAME_FOR_ALL: Environment = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


def _environment(scope: Scope) -> Environment:
    """Return the WSGI environment of a request, without its body."""
    environ = _SAME_FOR_ALL.copy()
    environ["REQUEST_METHOD"] = scope.method
    environ["PATH_INFO"] = scope.path.encode().decode("latin-1")  # WSGI: bytes as latin-1
    environ["QUERY_STRING"] = scope.query_string.encode().decode("latin-1")  # browsers encode it, curl does not
    environ["SERVER_PROTOCOL"] = f"HTTP/{scope.http_version}"
    environ["SERVER_NAME"], _, environ["SERVER_PORT"] = scope.server.rpartition(":")
    environ["REMOTE_ADDR"] = scope.client.rpartition(":")[0]
    environ["wsgi.url_scheme"] = scope.scheme
    environ["wsgi.input"] = BytesIO()
    fields = scope.headers.items()
    if len(fields) != len(names := scope.headers.keys()):
        # granian leaves out a value that is not ASCII. A header that was sent must not count as none.
        fields += [(name, UNREADABLE) for name in set(names).difference(name for name, _ in fields)]
    for field, value in fields:
        if (name := _variable(field)) is None:
            continue
        if name in environ:
            value = f"{environ[name]}{'; ' if name == 'HTTP_COOKIE' else ','}{value}"
        environ[name] = value
    if "HTTP_X_FORWARDED_FOR" in environ and settings.TRUSTED_PROXIES <= 0:
        warn_of_ignored_header()
    if scope.authority and scope.http_version == "2":
        environ.setdefault("HTTP_HOST", scope.authority)
    return environ


@lru_cache(maxsize=500)
def _variable(field: str) -> str | None:
    """Return the environment's name for a header. None if it has an underscore: it would pass for another header."""
    if "_" in field:
        return None
    name = field.replace("-", "_").upper()
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"


def _has_body(environ: Environment) -> bool:
    return (
        environ.get("CONTENT_LENGTH", "0") != "0"
        or "HTTP_TRANSFER_ENCODING" in environ
        or environ["SERVER_PROTOCOL"] == "HTTP/2"
    )
