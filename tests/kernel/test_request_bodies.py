"""Bodies: of any framing, read before a request takes a thread, within a time limit and a size limit."""

import json
import resource
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import psutil
import pytest

from tests.support.harness import (
    HALL,
    INTERNAL,
    THEATRE,
    Api,
    Database,
    assert_books_agree,
    new_user,
    running_web,
    seat,
    token,
)

pytestmark = pytest.mark.slow

SECONDS = 2.0  # for a body to arrive, here


@pytest.fixture(scope="module")
def impatient(database_url: str, logs: Any) -> Iterator[Api]:
    """A `web` that gives a body two seconds, and may open as many files as the machine allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 16_384), most))
    environment = {"DATABASE_URL": database_url, "WEB_WORKERS": "2", "WEB_THREADS": "4"}
    with running_web(logs / "impatient.log", **environment, REQUEST_BODY_SECONDS=str(SECONDS)) as found:
        yield found


def send(port: int, *parts: bytes, every: float = 0.0) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=15)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with suppress(BrokenPipeError, ConnectionResetError):  # the server has answered before it had all of a large body
        for part in parts:
            connection.sendall(part)
            time.sleep(every)
    return connection


def answer_on(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of what the server sends until it closes the connection."""
    received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    status_line, *fields = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
    return int(status_line.split()[1]), headers, json.loads(body)


def head_of(path: str, *fields: str, user: str | None = None, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", "Content-Type: application/json"]
    if user:
        lines.append(f"Authorization: Bearer {token(user)}")
    return "\r\n".join([*lines, *fields, "", ""]).encode()


def in_chunks(body: bytes, size: int) -> list[bytes]:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return [*(b"%x\r\n%s\r\n" % (len(part), part) for part in parts), b"0\r\n\r\n"]


def post_in_chunks(port: int, path: str, body: Any, *fields: str, user: str | None = None, size: int = 20) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = head_of(path, "Transfer-Encoding: chunked", *fields, user=user)
    with send(port, head, *in_chunks(raw, size), every=0.01 if len(raw) < 1000 else 0) as connection:
        return answer_on(connection)


# --- In chunks --------------------------------------------------------------------------------------------------------


def test_a_body_in_chunks_reserves_and_confirms(impatient: Api, world: Database) -> None:
    user, taken = new_user(), seat(1, 1)
    status, _, reserved = post_in_chunks(
        impatient.port, "/seats/reserve", {"eventId": HALL, "seatIds": [taken]}, user=user
    )
    assert status == 201
    assert impatient.seat_status(HALL, taken) == "locked"

    reservation = reserved["reservation"]
    payment = {"amount": reservation["totalAmount"], "paymentMethod": "card", "paymentId": "in-chunks"}
    internal = f"X-Internal-Token: {INTERNAL['X-Internal-Token']}"
    path = f"/internal/reservations/{reservation['id']}/confirm"
    status, _, _ = post_in_chunks(impatient.port, path, payment, internal)
    assert status == 200
    assert world.one("SELECT payment_id FROM reservations WHERE id = %s", reservation["id"]) == "in-chunks"


def test_a_body_in_chunks_is_read_by_django_too(impatient: Api, world: Database) -> None:
    """Of a view that is not on the fast path."""
    from ticketservice.urls import router

    (callback,) = {p.callback for p in router.urls if p.name == "queue-admin-policy"}
    assert not hasattr(getattr(callback.cls, callback.actions["post"]), "fast_path")
    bearer = f"Authorization: Bearer {token(new_user(), role='admin')}"
    status, _, policy = post_in_chunks(impatient.port, f"/queue/admin/policy/{HALL}", {"threshold": 7}, bearer)
    assert (status, policy["policy"]["threshold"]) == (200, 7)


@pytest.mark.parametrize("path", ["/seats/reserve", f"/queue/admin/policy/{HALL}"])
def test_a_body_in_chunks_has_the_size_limit_of_any_other(impatient: Api, world: Database, path: str) -> None:
    bearer = f"Authorization: Bearer {token(new_user(), role='admin')}"
    large = b'{"threshold": 7' + b" " * 300_000 + b"}"
    status, _, refused = post_in_chunks(impatient.port, path, large, bearer, size=30_000)
    assert (status, refused) == (413, {"error": "The request is too large"})
    allowed = b'{"threshold": 7' + b" " * 200_000 + b"}"
    assert post_in_chunks(impatient.port, path, allowed, bearer, size=30_000)[0] != 413


# --- Slow bodies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["with a length", "in chunks"])
def test_a_body_has_a_time_limit_from_its_first_byte(impatient: Api, world: Database, kind: str) -> None:
    framing, drop = (
        ("Content-Length: 100", b" ") if kind == "with a length" else ("Transfer-Encoding: chunked", b"1\r\n \r\n")
    )
    started = time.monotonic()
    with send(impatient.port, head_of("/seats/reserve", framing, user=new_user())) as connection:
        connection.settimeout(0.2)
        received = b""
        while not received and time.monotonic() - started < 3 * SECONDS:
            connection.sendall(drop)  # not one pause is long
            try:
                received = connection.recv(65536)
            except TimeoutError:
                continue
        took = time.monotonic() - started
        connection.settimeout(5)
        assert b"".join(iter(lambda: connection.recv(65536), b"")) == b""  # and it is closed
    assert received.startswith(b"HTTP/1.1 408 ")
    assert received.endswith(b'{"error":"The body of the request took too long to arrive"}')
    assert SECONDS - 0.1 <= took < SECONDS + 1.5


def test_a_thousand_slow_clients_do_not_keep_the_others_waiting(impatient: Api, world: Database) -> None:
    user = new_user()
    begin = head_of("/seats/reserve", "Content-Length: 100", user=user) + b"{"
    places = iter(range(1, 600))
    calls = {
        "health": lambda: impatient.get("/health"),
        "events": lambda: impatient.get("/events"),
        "status": lambda: impatient.get(f"/queue/status/{HALL}", user=new_user()),
        "reserve": lambda: impatient.reserve(new_user(), THEATRE, seat(7, next(places))),
    }
    for call in calls.values():  # its first call of each kind
        call()
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(send(impatient.port, begin))
        begun = time.monotonic()
        answers = {name: [call() for _ in range(3)] for name, call in calls.items()}
        assert time.monotonic() - begun < SECONDS + 4
    assert {name: {answer.status for answer in found} for name, found in answers.items()} == {
        "health": {200},
        "events": {200},
        "status": {200},
        "reserve": {201},
    }
    assert max(answer.seconds for found in answers.values() for answer in found) < 1


@pytest.mark.long
def test_a_sale_goes_on_among_slow_clients(impatient: Api, world: Database) -> None:
    """Of all kinds, who come again and again: nothing is lost, no worker dies, and the memory stays where it was."""
    world.settle()
    world.turn_waiting_rooms_off()
    begin = head_of("/seats/reserve", "Content-Length: 100") + b"{"
    chunked = head_of("/seats/reserve", "Transfer-Encoding: chunked") + b"5\r\n{"
    http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    over = threading.Event()

    def be_slow() -> None:
        while not over.is_set():
            with ExitStack() as stack, suppress(OSError):
                for kind in (begin, chunked, http2, b"POST /seats/reserve HT") * 25:
                    stack.enter_context(send(impatient.port, kind))
                over.wait(SECONDS + 1)

    def buy(place: int) -> tuple[int, int]:
        reserved = impatient.reserve(new_user(), THEATRE, seat(7, place))
        assert reserved.status == 201, reserved
        reservation = reserved.json["reservation"]
        return reserved.status, impatient.confirm(reservation["id"], reservation["totalAmount"]).status

    assert buy(600) == (201, 200)
    workers = workers_of(impatient.port)
    with ThreadPoolExecutor(28) as threads:
        slow = [threads.submit(be_slow) for _ in range(10)]
        time.sleep(1)
        before = {worker.pid: worker.memory_full_info().uss for worker in workers}
        try:
            answers = set(threads.map(buy, range(1, 300)))
            time.sleep(SECONDS + 1)
            answers |= set(threads.map(buy, range(300, 600)))
        finally:
            over.set()
        for client in slow:
            client.result()
    assert answers == {(201, 200)}
    assert world.one("SELECT count(*) FROM seats WHERE event_id = %s AND status = 'sold'", THEATRE) == 600
    assert [worker.is_running() for worker in workers] == [True, True]
    grown = [worker.memory_full_info().uss - before[worker.pid] for worker in workers]
    assert max(grown) < 20_000_000
    assert_books_agree(THEATRE)


def workers_of(port: int) -> list[psutil.Process]:
    (parent,) = (
        process
        for process in psutil.Process().children(recursive=True)
        if "granian" in " ".join(process.cmdline())
        and process.environ().get("PORT") == str(port)
        and process.children()
    )
    return [child for child in parent.children() if "resource_tracker" not in " ".join(child.cmdline())]


def test_http2_without_tls_is_not_spoken(impatient: Api) -> None:
    with send(impatient.port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0") as connection:
        assert connection.recv(65536)[:9] in (b"", b"HTTP/1.1 ")


# --- Headers ----------------------------------------------------------------------------------------------------------


def test_a_header_with_an_underscore_is_another_header(impatient: Api, world: Database) -> None:
    path = f"/internal/reservations/{new_user()}/refund"
    assert impatient.post(path, headers=INTERNAL).status == 404
    refused = impatient.post(path, headers={"X_Internal_Token": INTERNAL["X-Internal-Token"]})
    assert (refused.status, refused.json) == (403, {"error": "Invalid internal token"})
