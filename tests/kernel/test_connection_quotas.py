"""Quotas of connections: how many an address and a user may have, how much a client may send, what is logged."""

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from kernel.observability.request_context import current_request_id
from kernel.realtime import metrics, quotas
from kernel.realtime.quotas import FRAME_BURST, FRAMES_PER_SECOND, ConnectionQuota, client_address


def scope(address: str = "198.51.100.7", *forwarded: str) -> dict[str, Any]:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return {"path": "/ws/seats/1", "client": (address, 50000), "headers": headers}


@pytest.fixture(autouse=True)
def counters() -> Iterator[None]:
    """Each test begins without connections, and leaves none: what is released must not stay in memory."""
    assert not quotas._connections_by_address
    assert not quotas._connections_by_user
    yield
    assert not quotas._connections_by_address
    assert not quotas._connections_by_user


@pytest.fixture
def connect() -> Iterator[Any]:
    made: list[ConnectionQuota] = []

    def open_one(address: str = "198.51.100.7") -> ConnectionQuota:
        made.append(ConnectionQuota(scope(address)))
        return made[-1]

    def close(quota: ConnectionQuota) -> None:
        made.remove(quota)
        quota.release()

    open_one.close = close  # type: ignore[attr-defined]
    yield open_one
    for quota in made:
        quota.release()


# --- Addresses and users ----------------------------------------------------------------------------------------------


def test_an_address_may_have_so_many_connections_and_one_more_when_one_has_gone(connect: Any, settings: Any) -> None:
    settings.WEBSOCKET_MAX_PER_ADDRESS = 3
    first, *others = [connect() for _ in range(3)]
    assert not others[-1].exceeds_address_limit()
    refused = connect()
    assert refused.exceeds_address_limit()
    assert not connect("203.0.113.9").exceeds_address_limit()
    connect.close(refused)
    connect.close(first)
    assert not connect().exceeds_address_limit()
    assert connect().exceeds_address_limit()


def test_a_user_may_have_so_many_connections_from_any_address(connect: Any, settings: Any) -> None:
    settings.WEBSOCKET_MAX_PER_USER = 2
    first = connect("203.0.113.1")
    assert first.allow_user("ann")
    assert connect("203.0.113.2").allow_user("ann")
    assert not connect("203.0.113.3").allow_user("ann")
    assert connect("203.0.113.3").allow_user("bob")
    connect.close(first)
    assert not connect().allow_user("ann"), "the refused connection counts until it is released, and so does this one"


def test_a_connection_counts_once_for_each_of_its_users(connect: Any, settings: Any) -> None:
    settings.WEBSOCKET_MAX_PER_USER = 1
    quota = connect()
    for _ in range(3):
        assert quota.allow_user("ann")
        assert quota.allow_user("bob")
    assert quotas._connections_by_user == {"ann": 1, "bob": 1}
    other = connect()
    assert not other.allow_user("ann")
    connect.close(quota)
    connect.close(other)
    assert connect().allow_user("ann")


def test_zero_is_no_limit(connect: Any, settings: Any) -> None:
    settings.WEBSOCKET_MAX_PER_ADDRESS = settings.WEBSOCKET_MAX_PER_USER = 0
    for _ in range(100):
        quota = connect()
        assert not quota.exceeds_address_limit()
        assert quota.allow_user("ann")


@pytest.mark.parametrize(
    ("proxies", "forwarded", "found"),
    [
        (0, ["203.0.113.1"], "198.51.100.7"),  # anybody may send the header
        (1, [], "198.51.100.7"),
        (1, [" , "], "198.51.100.7"),
        (1, ["203.0.113.1"], "203.0.113.1"),
        (1, ["1.1.1.1, 203.0.113.1"], "203.0.113.1"),  # the client has sent the first
        (2, ["1.1.1.1, 203.0.113.1, 10.0.0.1"], "203.0.113.1"),
        (2, ["1.1.1.1", "203.0.113.1 , 10.0.0.1"], "203.0.113.1"),  # two headers are one list
        (3, ["203.0.113.1, 10.0.0.1"], "203.0.113.1"),
    ],
)
def test_the_address_is_that_which_our_own_proxies_have_seen(
    proxies: int, forwarded: list[str], found: str, settings: Any
) -> None:
    settings.TRUSTED_PROXIES = proxies
    assert client_address(scope("198.51.100.7", *forwarded)) == found


def test_a_server_without_the_clients_address_counts_all_as_one(settings: Any) -> None:
    settings.TRUSTED_PROXIES = 0
    assert client_address({**scope(), "client": None}) == ""


# --- Frames -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(quotas, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def allowed(quota: ConnectionQuota) -> int:
    """How many frames are allowed now, before the first that is not."""
    count = 0
    while quota.allow_frame():
        count += 1
    return count


def test_a_client_may_send_a_burst_and_no_more(connect: Any, clock: Any) -> None:
    assert allowed(connect()) == FRAME_BURST
    assert allowed(connect()) == FRAME_BURST, "each connection has a bucket of its own"


def test_a_client_may_send_so_many_frames_a_second_for_as_long_as_it_likes(connect: Any, clock: Any) -> None:
    quota = connect()
    for _ in range(1000):
        clock.now += 1 / FRAMES_PER_SECOND
        assert quota.allow_frame()
    assert allowed(quota) == pytest.approx(FRAME_BURST, abs=1)


def test_a_client_that_sends_faster_is_refused_when_the_burst_is_used_up(connect: Any, clock: Any) -> None:
    quota, sent = connect(), 0
    while quota.allow_frame():
        sent += 1
        clock.now += 1 / (2 * FRAMES_PER_SECOND)
        assert sent < 1000
    assert sent == pytest.approx(2 * FRAME_BURST, abs=2)


def test_silence_saves_up_a_burst_and_no_more(connect: Any, clock: Any) -> None:
    quota = connect()
    allowed(quota)
    clock.now += 86_400
    assert allowed(quota) == FRAME_BURST


# --- Closing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "is_logged"), [
    (1007, True), (1008, True), (1009, True), (4408, True),  # something is wrong with the client
    (1012, False), (4400, False), (4401, False), (4404, False), (4409, False), (4429, False),
])  # fmt: skip
def test_every_close_is_counted_and_only_those_of_bad_clients_are_logged(
    code: int, is_logged: bool, connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    before = metrics.websocket_closed.labels(code=str(code))._value.get()
    token = current_request_id.set("of-the-connection")
    quota = connect()
    current_request_id.set("of-another-task")
    try:
        with caplog.at_level(logging.INFO):
            quota.record_close(code, "the reason")
    finally:
        current_request_id.reset(token)
    assert metrics.websocket_closed.labels(code=str(code))._value.get() == before + 1
    lines = [record for record in caplog.records if record.name == quotas.__name__]
    assert len(lines) == is_logged
    for line in lines:
        assert line.getMessage() == "socket closed: the reason"
        assert (line.code, line.request_id, line.path) == (code, "of-the-connection", "/ws/seats/1")
