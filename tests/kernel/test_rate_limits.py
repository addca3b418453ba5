"""Rate limits: what is refused, to whom, how it is told, and what is kept of whoever asks."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from devtools.embedded import Servers
from kernel.config.rates import Rate, parse_rate
from kernel.http import addresses
from kernel.http.addresses import network_of
from kernel.redis import rate_limits
from kernel.redis.rate_limits import RateLimit, RateLimited
from kernel.redis.scripts import LuaScript
from tests.support.harness import (
    HALL,
    INTERNAL_TOKEN,
    STANDING,
    STANDING_A,
    Answer,
    Api,
    Database,
    at_once,
    new_user,
    running_web,
    seat,
    token,
    wait_until,
)
from tests.support.live import Realtime, running_realtime
from tests.support.round_trips import Counted
from tests.support.socketio_clients import OfPython
from tests.support.waiting_room_clock import BY_THE_CLOCK_OF_THE_TEST, CLOCK, SECOND, START

NARROW = {
    "RATE_LIMIT_JOIN": "3/min",
    "RATE_LIMIT_STATUS": "5/min",
    "RATE_LIMIT_RESERVE": "4/min",
    "RATE_LIMIT_SEARCH": "2/min",
    "RATE_LIMIT_SEARCH_PER_ADDRESS": "3/min",
    "RATE_LIMIT_BAD_TOKENS": "3/min",
    "RATE_LIMIT_SOCKETS": "2/min",
    "RATE_LIMIT_SOCKETS_PER_ADDRESS": "3/min",
    "TRUSTED_PROXIES": "1",
}
TOO_MANY = {"error": "요청이 너무 많습니다. 잠시 후 다시 시도해주세요."}
MINE = "/reservations/my"


# --- The script -------------------------------------------------------------------------------------------------------


@pytest.fixture
def limit(settings: Any) -> RateLimit:
    settings.RATE_LIMIT_JOIN = Rate(3, 60)
    return RateLimit("join", "RATE_LIMIT_JOIN")


class Clock:
    """The script's clock, which stands until it is set."""

    def __init__(self, redis: Any) -> None:
        self._redis, self.now = redis, START
        self.set()

    def set(self, by: float = 0) -> None:
        self.now += round(by * SECOND)
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.delete(CLOCK)
        pipeline.rpush(CLOCK, *divmod(self.now, SECOND))
        pipeline.execute()


@pytest.fixture
def clock(redis: Any, monkeypatch: pytest.MonkeyPatch) -> Clock:
    redis.flushall()
    was = rate_limits._spend
    by_the_test = LuaScript(was.body.replace(*BY_THE_CLOCK_OF_THE_TEST), keys=was.keys, args=was.args)
    assert by_the_test.body != was.body
    monkeypatch.setattr(rate_limits, "_spend", by_the_test)
    return Clock(redis)


def allows(limit: RateLimit, subject: str = "ann") -> bool:
    try:
        limit.spend(subject)
    except RateLimited:
        return False
    return True


def test_so_many_at_once_and_then_one_for_each_share_of_the_period(limit: RateLimit, clock: Clock) -> None:
    assert [allows(limit) for _ in range(5)] == [True, True, True, False, False]
    assert allows(limit, "bob")
    clock.set(by=19.9)
    assert not allows(limit)
    clock.set(by=0.1)
    assert [allows(limit) for _ in range(2)] == [True, False]
    clock.set(by=3600)
    assert [allows(limit) for _ in range(4)] == [True, True, True, False]


def test_a_refusal_tells_how_long_to_wait_and_changes_nothing(limit: RateLimit, clock: Clock, redis: Any) -> None:
    for _ in range(3):
        limit.spend("ann")
    clock.set(by=12.4)
    before, ttl = redis.get("rate:join:ann"), redis.pttl("rate:join:ann")
    with pytest.raises(RateLimited) as refused:
        limit.spend("ann")
    assert refused.value.retry_after == 8  # 7.6, rounded up
    assert refused.value.headers == {"RateLimit-Policy": '"join";q=3;w=60', "RateLimit": '"join";r=0;t=8'}
    assert redis.get("rate:join:ann") == before
    assert redis.pttl("rate:join:ann") <= ttl


def test_a_clock_that_is_set_back_shuts_nobody_out(limit: RateLimit, clock: Clock) -> None:
    for _ in range(3):
        limit.spend("ann")
    clock.set(by=-86_400)
    assert [allows(limit) for _ in range(4)] == [True, True, True, False]


def test_zero_is_no_limit_and_keeps_nothing(limit: RateLimit, clock: Clock, redis: Any, settings: Any) -> None:
    settings.RATE_LIMIT_JOIN = Rate(0, 1)
    assert all(allows(limit) for _ in range(100))
    assert redis.keys("rate:*") == []


def test_keys_of_the_waiting_room_are_in_the_slot_of_their_event(limit: RateLimit, settings: Any) -> None:
    assert limit.key("ann", HALL) == limit.key("ann") == "rate:join:ann"
    settings.REDIS_HASH_TAGS = True
    assert limit.key("ann", HALL) == f"rate:join:ann:{{{HALL}}}"
    assert limit.key("ann") == "rate:join:ann"


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pauses=st.lists(st.sampled_from([0.0, 0.001, 1.0, 7.3, 20.0, 61.0]), max_size=40), quota=st.integers(1, 9))
def test_it_is_a_bucket_that_fills_at_the_rate(
    limit: RateLimit, clock: Clock, redis: Any, settings: Any, pauses: list[float], quota: int
) -> None:
    """Against a bucket of `quota` that fills in 60 s."""
    settings.RATE_LIMIT_JOIN = Rate(quota, 60)
    redis.delete("rate:join:ann")
    level, interval = 60 * SECOND, 60 * SECOND // quota  # in microseconds
    for pause in pauses:
        clock.set(by=pause)
        level = min(60 * SECOND, level + round(pause * SECOND))
        expected = level >= interval
        assert allows(limit) == expected
        level -= interval if expected else 0


def test_of_many_at_once_exactly_the_quota_is_allowed(limit: RateLimit, redis: Any) -> None:
    for trial in range(20):
        with ThreadPoolExecutor(16) as threads:
            allowed = sum(threads.map(lambda _, subject=f"user-{trial}": allows(limit, subject), range(32)))
        assert allowed == 3


def test_of_a_single_request_nothing_is_left_when_it_is_forgotten(settings: Any, redis: Any) -> None:
    """Of an attacker with ever new addresses: keys for those of the last interval only."""
    redis.flushall()
    settings.RATE_LIMIT_BAD_TOKENS = Rate(300, 60)
    limit = RateLimit("bad-tokens", "RATE_LIMIT_BAD_TOKENS")
    for n in range(2000):
        limit.spend(network_of(f"2001:db8:{n:x}::1"))
    assert 0 < len(redis.keys("rate:*")) <= 2000
    assert all(redis.pttl(key) in {*range(201), -2} for key in redis.keys("rate:*")[-50:])  # -2: gone meanwhile
    time.sleep(0.3)
    assert redis.keys("rate:*") == []


@pytest.mark.parametrize(
    ("text", "rate"),
    [("120/min", (120, 60)), ("10/15min", (10, 900)), ("5/h", (5, 3600)), ("1/s", (1, 1)), ("0", (0, 1))],
)
def test_rates_are_written_as_so_many_in_a_period(text: str, rate: tuple[int, int]) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "10", "10/", "10/day", "-1/s", "1.5/s", "10/0s", "10/25h", "10 / s", "٣/s"])
def test_anything_else_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse_rate(text)


# --- Addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::ffff", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::1]:443", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::1]", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("", "unknown"),
        ("nobody", "unknown"),
        ("203.0.113.999", "unknown"),
        ("x" * 10_000, "unknown"),
    ],
)
def test_a_client_is_an_ipv4_address_or_an_ipv6_network_of_64_bits(address: str, network: str) -> None:
    assert network_of(address) == network


def test_a_header_that_is_not_believed_is_warned_of_once(
    settings: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "_has_warned", False)
    settings.TRUSTED_PROXIES = 0
    for _ in range(3):
        assert addresses.client_address("10.0.0.1", ["203.0.113.9"]) == "10.0.0.1"
    settings.TRUSTED_PROXIES = 1
    assert addresses.client_address("10.0.0.1", ["203.0.113.9"]) == "203.0.113.9"
    assert len([record for record in caplog.records if "TRUSTED_PROXIES is 0" in record.getMessage()]) == 1


# --- The service ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_webs(database_url: str, logs: Path) -> Iterator[list[Api]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                running_web(
                    logs / f"rates-{number}.log",
                    DATABASE_URL=database_url,
                    WEB_WORKERS="1",
                    MAX_SEATS_PER_RESERVATION="4",
                    MAX_TICKETS_PER_BUYER="100",
                    **NARROW,
                )
            )
            for number in range(2)
        ]


@pytest.fixture(scope="module")
def realtime(database_url: str, logs: Path) -> Iterator[Realtime]:
    with running_realtime(logs / "rates-realtime.log", DATABASE_URL=database_url, **NARROW) as running:
        yield running


def from_address(address: str, bearer: str = "") -> dict[str, str]:
    return {"X-Forwarded-For": address, **({"Authorization": f"Bearer {bearer}"} if bearer else {})}


def statuses(webs: list[Api], call: Callable[[Api, int], Answer], times: int) -> list[int]:
    """Of calls to the processes in turn."""
    return [call(webs[n % len(webs)], n).status for n in range(times)]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "quota", "call"),
    [
        ("join", 3, lambda api, user, _: api.post(f"/queue/check/{HALL}", user=user)),
        ("status", 5, lambda api, user, _: api.get(f"/queue/status/{HALL}", user=user)),
        ("status", 5, lambda api, user, _: api.post(f"/queue/heartbeat/{HALL}", user=user)),
        ("reserve", 4, lambda api, user, n: api.reserve(user, HALL, seat(1, 1 + n))),
        ("reserve", 4, lambda api, user, _: api.buy(user, STANDING, **{STANDING_A: 1})),
        ("search", 2, lambda api, user, n: api.get(f"/events?q=text-{n}", user=user)),
        ("search", 2, lambda api, user, n: api.get(f"/events?q={'long' * 30}{n}", user=user)),
    ],
)
def test_all_processes_count_a_user_together(
    two_webs: list[Api], world: Database, name: str, quota: int, call: Callable[[Api, str, int], Answer]
) -> None:
    user = new_user()
    answers = [call(two_webs[n % 2], user, n) for n in range(quota + 2)]
    assert [answer.status < 300 for answer in answers] == [True] * quota + [False] * 2
    refused = answers[-1]
    wait = 60 // quota
    assert (refused.status, refused.json) == (429, TOO_MANY)
    assert wait - 2 <= int(refused.headers["retry-after"]) <= wait
    assert refused.headers["ratelimit-policy"] == f'"{name}";q={quota};w=60'
    assert refused.headers["ratelimit"] == f'"{name}";r=0;t={refused.headers["retry-after"]}'
    assert refused.headers["cache-control"] == "no-store"
    assert call(two_webs[0], new_user(), quota + 5).status < 300, "others are not concerned"


@pytest.mark.slow
def test_a_refusal_in_the_form_of_rfc_9457(two_webs: list[Api], world: Database) -> None:
    user, headers = new_user(), {"Accept": "application/problem+json"}
    for n in range(4):
        answer = two_webs[n % 2].post(f"/queue/check/{HALL}", user=user, headers=headers)
    assert (answer.status, answer.json["code"], answer.json["status"]) == (429, "RATE_LIMITED", 429)


@pytest.mark.slow
def test_a_refused_purchase_has_bought_nothing_and_may_be_repeated(
    two_webs: list[Api], world: Database, redis: Any
) -> None:
    user = new_user()
    for n in range(4):
        two_webs[0].reserve(user, HALL, seat(1, 1 + n))
    before = world.everything()
    named = {"Idempotency-Key": "again"}
    assert two_webs[1].reserve(user, HALL, seat(1, 5), headers=named).status == 429
    assert world.everything() == before
    redis.delete(f"rate:reserve:{user}")
    assert two_webs[1].reserve(user, HALL, seat(1, 5), headers=named).status == 201


@pytest.mark.slow
def test_many_at_once_get_no_more_than_the_quota(two_webs: list[Api], world: Database) -> None:
    for _ in range(10):
        user = new_user()
        calls = [partial(two_webs[n % 2].post, f"/queue/check/{HALL}", user=user) for n in range(12)]
        answers = at_once(calls)
        assert sorted(answer.status for answer in answers) == [200] * 3 + [429] * 9


@pytest.mark.slow
def test_events_that_do_not_exist_are_counted_before_they_are_looked_up(two_webs: list[Api], world: Database) -> None:
    user = new_user()
    asked = statuses(two_webs, lambda api, _: api.post(f"/queue/check/{new_user()}", user=user), 5)
    assert asked == [404] * 3 + [429] * 2


@pytest.mark.slow
def test_bad_tokens_count_by_address_and_valid_ones_from_there_are_spared(
    two_webs: list[Api], world: Database, redis: Any
) -> None:
    def guess(address: str, bearer: str = "no token") -> Callable[[Api, int], Answer]:
        return lambda api, _: api.get(MINE, headers=from_address(address, bearer))

    assert statuses(two_webs, guess("2001:db8:1:2::1"), 3) == [403] * 3
    for neighbour in ("2001:db8:1:2::2", "2001:db8:1:2:ffff::3", "[2001:db8:1:2::4]:50000"):
        assert statuses(two_webs, guess(neighbour), 2) == [429] * 2, "the same /64"
    assert statuses(two_webs, guess("2001:db8:1:3::1"), 1) == [403]
    for n in range(5):
        mine = guess("2001:db8:1:2::1", token(new_user()))
        assert statuses(two_webs, mine, 1) == [200], f"the address is many people's ({n})"
    assert statuses(two_webs, lambda api, _: api.get(MINE, headers=from_address("2001:db8:1:2::1")), 1) == [401]
    assert sorted(redis.keys("rate:*")) == ["rate:bad-tokens:2001:db8:1:2::/64", "rate:bad-tokens:2001:db8:1:3::/64"]


@pytest.mark.slow
def test_guessing_the_token_of_the_services_counts_too(two_webs: list[Api], world: Database) -> None:
    def confirm(internal: str) -> Callable[[Api, int], Answer]:
        path, body = f"/internal/reservations/{HALL}/confirm", {"amount": 1, "paymentMethod": "c", "paymentId": "p"}
        headers = {"X-Internal-Token": internal, "X-Forwarded-For": "198.51.100.1"}
        return lambda api, _: api.post(path, body, headers=headers)

    assert statuses(two_webs, confirm("guess"), 5) == [403] * 3 + [429] * 2
    assert statuses(two_webs, confirm(INTERNAL_TOKEN), 2) == [404] * 2


@pytest.mark.slow
def test_a_search_without_a_token_counts_by_address(two_webs: list[Api], world: Database, redis: Any) -> None:
    def search(address: str, bearer: str = "") -> Callable[[Api, int], Answer]:
        return lambda api, n: api.get(f"/events?q={address[-4:]}-{n}", headers=from_address(address, bearer))

    assert statuses(two_webs, search("198.51.100.7"), 5) == [200] * 3 + [429] * 2
    assert statuses(two_webs, search("198.51.100.8"), 1) == [200]
    redis.delete("events:list")
    assert two_webs[0].get("/events?q=mine", headers=from_address("198.51.100.7", token(new_user()))).status == 200
    assert two_webs[0].get("/events?q=bad", headers=from_address("198.51.100.7", "no token")).status == 429
    assert two_webs[0].get("/events", headers=from_address("198.51.100.7")).status == 200, "the list is no search"


@pytest.mark.slow
def test_the_default_limits_add_no_round_trip(counted_web: Counted, world: Database) -> None:
    api = counted_web.api
    for _ in range(3):  # connections, statements and scripts
        user = new_user()
        api.post(f"/queue/check/{HALL}", user=user)
        api.get(f"/queue/status/{HALL}", user=user)
        api.get("/events?q=warm")
    bearer = {"Authorization": f"Bearer {token(user)}"}
    assert counted_web.during(lambda: api.post(f"/queue/check/{HALL}", headers=bearer)) == (0, 1)
    assert counted_web.during(lambda: api.get(f"/queue/status/{HALL}", headers=bearer)) == (0, 1)
    assert counted_web.during(lambda: api.get(f"/queue/status/{HALL}", headers=bearer)) == (0, 1)
    assert counted_web.during(lambda: api.get(MINE, user=new_user())) == (1, 0), (
        "a token that the process does not know"
    )
    # Look up, store, and read on the connection of the response cache: as many as for a list without a search.
    # The least of three, since a connection that was idle may be opened again meanwhile.
    for query in ("limit", "q=another&limit"):
        assert min(counted_web.during(partial(api.get, f"/events?{query}={n}"))[1] for n in (7, 8, 9)) == 3


@pytest.mark.slow
def test_without_redis_nobody_is_limited(two_webs: list[Api], world: Database, redis_server: Servers) -> None:
    world.turn_waiting_rooms_off()
    user = new_user()
    for n in range(4):
        assert two_webs[0].reserve(user, HALL, seat(1, 1 + n)).status == 201
    redis_server.stop_redis()
    assert statuses(two_webs, lambda api, n: api.reserve(user, HALL, seat(1, 5 + n)), 8) == [201] * 8
    headers = from_address("198.51.100.9", "no token")
    assert statuses(two_webs, lambda api, _: api.get(MINE, headers=headers), 8) == [403] * 8
    search = from_address("198.51.100.9")
    assert statuses(two_webs, lambda api, n: api.get(f"/events?q=away-{n}", headers=search), 8) == [200] * 8


# --- Sockets ----------------------------------------------------------------------------------------------------------


def bearer(user: str) -> dict[str, Any]:
    return {"subprotocols": ["bearer", token(user)]}


@pytest.mark.slow
def test_sockets_are_opened_so_often_by_a_user(realtime: Realtime, world: Database) -> None:
    user = new_user()
    for _ in range(2):
        realtime.open(f"/ws/queue/{HALL}", **bearer(user)).first("queue-position")
    refused = realtime.open(f"/ws/queue/{HALL}", **bearer(user))
    assert refused.closed_with() == 4429
    assert 28_000 <= refused.first("retry")["afterMs"] <= 30_000
    realtime.open(f"/ws/queue/{HALL}", **bearer(new_user())).first("queue-position")


@pytest.mark.slow
def test_sockets_without_a_token_are_opened_so_often_by_an_address(realtime: Realtime, world: Database) -> None:
    def seats(address: str, **options: Any) -> Any:
        return realtime.seats(HALL, additional_headers={"X-Forwarded-For": address}, **options)

    for n in range(3):
        seats(f"2001:db8:9::{n}").first("hello")
    assert seats("2001:db8:9::7").closed_with() == 4429
    seats("2001:db8:9:1::7").first("hello")
    seats("2001:db8:9::7", **bearer(new_user())).first("hello")


@pytest.mark.slow
@pytest.mark.parametrize("namespace", ["/", f"/queue/{HALL}", f"/seats/{HALL}"])
def test_so_are_namespaces_of_socketio(realtime: Realtime, world: Database, namespace: str) -> None:
    opened: list[OfPython] = []

    def connect(user: str) -> str:
        """What is heard first."""
        opened.append(OfPython(realtime.port, namespace, {"token": token(user)}, [], ["websocket"]))
        return str(opened[-1].wait(lambda heard: heard.all)[0][0])

    user = new_user()
    try:
        assert [connect(user) for _ in range(3)] == ["connect", "connect", "connect_error"]
        assert "Too many connections" in str(opened[-1].first("connect_error"))
        assert connect(new_user()) == "connect"
    finally:
        for client in opened:
            client.close()


@pytest.mark.slow
def test_sockets_with_bad_tokens_count_as_other_requests_with_bad_tokens(
    realtime: Realtime, two_webs: list[Api], world: Database
) -> None:
    for _ in range(3):
        opened = realtime.open(f"/ws/queue/{HALL}?token=guess", additional_headers={"X-Forwarded-For": "198.51.100.20"})
        assert opened.closed_with() == 4401
    headers = {"X-Forwarded-For": "198.51.100.20"}
    assert realtime.open(f"/ws/queue/{HALL}?token=guess", additional_headers=headers).closed_with() == 4429
    assert two_webs[0].get(MINE, headers=from_address("198.51.100.20", "guess")).status == 429


@pytest.mark.long
@pytest.mark.slow
def test_a_proxy_that_is_not_counted_is_in_the_log_of_web(database_url: str, logs: Path) -> None:
    log = logs / "rates-untrusted.log"
    with running_web(log, DATABASE_URL=database_url, WEB_WORKERS="1", TRUSTED_PROXIES="0") as api:
        assert "TRUSTED_PROXIES is 0" not in log.read_text()
        for _ in range(3):
            api.get("/health", headers={"X-Forwarded-For": "203.0.113.9"})
        wait_until(lambda: "TRUSTED_PROXIES is 0" in log.read_text(), seconds=5)
    assert log.read_text().count("TRUSTED_PROXIES is 0") == 1
