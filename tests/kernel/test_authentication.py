"""Tokens: the Auth Service with its cache, time-out and circuit breaker; local verification; who is let in."""

import http.server
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.auth_service import dripping, let_in, serving
from tests.support.harness import TOKENS, Api, Database, at_once, manage, new_user, running_web, token

pytestmark = pytest.mark.slow

MINE = "/reservations/my"
UNAVAILABLE = "인증 서비스에 연결할 수 없습니다. 잠시 후 다시 시도해주세요."


@pytest.fixture(scope="module")
def auth_service() -> Iterator[http.server.ThreadingHTTPServer]:
    with serving(let_in()) as server:
        yield server


@pytest.fixture(scope="module")
def api(database_url: str, logs, auth_service) -> Iterator[Api]:
    url = f"http://127.0.0.1:{auth_service.server_port}"
    with running_web(logs / "auth.log", DATABASE_URL=database_url, AUTH_SERVICE_URL=url, WEB_WORKERS="1") as found:
        yield found


@pytest.fixture(autouse=True)
def fresh(world: Database, auth_service) -> None:
    auth_service.behave = let_in()
    auth_service.asked.clear()


def ask(api: Api, bearer: str) -> Any:
    return api.get(MINE, headers={"Authorization": f"Bearer {bearer}"})


def test_a_verified_token_is_asked_for_once(api: Api, auth_service, redis) -> None:
    mine = token(new_user())
    assert [ask(api, mine).status for _ in range(5)] == [200] * 5
    assert auth_service.asked == [mine]
    (key,) = redis.keys("auth:token:*")
    assert mine not in key
    assert mine not in redis.get(key)
    assert 0 < redis.ttl(key) <= 60


def test_it_is_never_remembered_past_its_own_expiry(api: Api, auth_service, redis) -> None:
    short = token(new_user(), seconds=2)
    assert ask(api, short).status == 200
    (key,) = redis.keys("auth:token:*")
    assert redis.pttl(key) <= 2000
    auth_service.behave = lambda _: (401, {"error": "expired"})
    time.sleep(2.1)
    assert ask(api, short).status == 403


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        ((401, {"error": "Invalid or expired token"}), 403),
        ((200, {"valid": False}), 403),
        ((200, {"valid": "false", "user": {"userId": "00a11ce0-0000-4000-8000-000000000001"}}), 403),
        ((200, {"valid": 1, "user": {"userId": "00a11ce0-0000-4000-8000-000000000001"}}), 403),
        ((404, {"error": "User not found"}), 401),
        ((200, {"valid": True, "user": {"userId": "12345"}}), 401),
        ((200, {"valid": True}), 401),
        ((500, {"error": "broken"}), 503),
        ((200, b"no json"), 503),
        ((200, b"[]"), 503),
        ((200, b"[" + b" " * 100_000 + b"]"), 503),
        ((302, {"valid": True}), 503),
    ],
)
def test_the_service_has_the_last_word(api: Api, auth_service, redis, behaviour: Any, status: int) -> None:
    auth_service.behave = lambda _: behaviour
    answer = ask(api, token(new_user()))
    assert answer.status == status
    assert redis.keys("auth:token:*") == []  # only positive answers are remembered
    if status == 503:
        assert "retry-after" in answer.headers


def test_a_refused_token_is_asked_for_once_in_some_seconds(api: Api, auth_service) -> None:
    auth_service.behave = lambda _: (401, {"error": "Invalid or expired token"})
    bad = token(new_user())
    assert [ask(api, bad).status for _ in range(5)] == [403] * 5
    assert auth_service.asked == [bad]
    auth_service.behave = let_in()
    time.sleep(5.1)
    assert ask(api, bad).status == 200


# --- A service that drips ---------------------------------------------------------------------------------------------


DRIPS = {
    "a byte of the body": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", (b" ",), 0.5),
    "a chunk of the body": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", (b"1\r\n \r\n",), 0.5),
    "a line of the head": (b"HTTP/1.1 200 OK\r\n", (b"X-One: 1\r\n", b"X-Two: 2\r\n"), 1.0),
    "another status": (b"", (b"HTTP/1.1 100 Continue\r\n\r\n",), 0.5),
}


@pytest.mark.long
@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS.keys())
def test_a_service_that_drips_has_two_seconds_for_everything(
    world: Database, database_url: str, logs, drip: Any
) -> None:
    head, drops, every = drip
    with dripping(head, *drops, every=every) as port:
        address = {"AUTH_SERVICE_URL": f"http://127.0.0.1:{port}", "WEB_WORKERS": "1"}
        with running_web(logs / "drips.log", DATABASE_URL=database_url, **address) as api:
            answer = ask(api, token(new_user()))
    assert (answer.status, answer.json["error"]) == (503, UNAVAILABLE)
    assert 1.5 < answer.seconds < 3


def test_reads_without_a_token_do_not_wait_for_it(world: Database, database_url: str, logs) -> None:
    head, drops, every = DRIPS["a byte of the body"]
    with dripping(head, *drops, every=every) as port, ThreadPoolExecutor(40) as buyers:
        address = {"AUTH_SERVICE_URL": f"http://127.0.0.1:{port}", "WEB_WORKERS": "1"}
        with running_web(logs / "behind.log", DATABASE_URL=database_url, **address) as api:
            assert api.get("/events").status == 200
            bought = [buyers.submit(ask, api, token(new_user())) for _ in range(200)]
            time.sleep(0.1)
            reads = [api.get("/events") for _ in range(20)]
            answers = [asked.result() for asked in bought]
    assert {answer.status for answer in reads} == {200}
    assert max(answer.seconds for answer in reads) < 1
    assert {answer.status for answer in answers} == {503}


def test_a_burst_of_new_buyers_is_queued_and_not_refused(api: Api, auth_service) -> None:
    def slowly(token: str) -> Any:
        time.sleep(0.03)
        return let_in()(token)

    auth_service.behave = slowly
    answers = at_once([partial(ask, api, token(new_user())) for _ in range(60)])
    assert {answer.status for answer in answers} == {200}


@pytest.mark.long
def test_a_service_that_hangs_costs_two_seconds_then_nothing(api: Api, auth_service) -> None:
    time.sleep(2.1)

    def hang(token: str) -> Any:
        time.sleep(4)
        return 500, {}

    auth_service.behave = hang
    answers = [ask(api, token(new_user())) for _ in range(6)]
    assert [answer.status for answer in answers] == [503] * 6
    assert all(answer.seconds < 3 for answer in answers)
    assert sum(answer.seconds for answer in answers[3:]) < 0.5  # the breaker is open
    assert len(auth_service.asked) == 3
    auth_service.behave = let_in()
    time.sleep(2.1)
    assert ask(api, token(new_user())).status == 200


def test_nobody_is_let_in_while_the_service_is_gone(world: Database, database_url: str, logs) -> None:
    with running_web(
        logs / "gone.log", DATABASE_URL=database_url, AUTH_SERVICE_URL="http://127.0.0.1:9", WEB_WORKERS="1"
    ) as api:
        answer = ask(api, TOKENS["tokens"]["user_a"])
        assert (answer.status, list(answer.json)) == (503, ["error"])
        assert api.get("/events").status == 200


@pytest.mark.long
def test_rs256_with_a_public_key(world: Database, database_url: str, logs) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()  # fmt: skip
    claims = {"userId": new_user(), "role": "user", "exp": int(time.time()) + 60}
    for written in (pem, pem.replace("\n", "\\n")):
        with running_web(
            logs / "rs256.log", DATABASE_URL=database_url, JWT_PUBLIC_KEY=written, JWT_SECRET="", WEB_WORKERS="1"
        ) as api:
            assert ask(api, jwt.encode(claims, key, algorithm="RS256")).status == 200
            forged = jwt.api_jws.PyJWS().encode(json.dumps(claims).encode(), b"x" * 32, algorithm="HS256")
            assert ask(api, forged).status == 403
            assert ask(api, token(new_user())).status == 403


def test_local_tokens_of_every_kind(web: Api, world: Database) -> None:
    wanted = {"user_a": 200, "expired": 403, "garbage": 403, "wrong_signature": 403, "alg_none": 403, "hs512": 403,
              "no_user_id": 401, "user_id_not_uuid": 401, "not_before_future": 403}  # fmt: skip
    assert {name: ask(web, TOKENS["tokens"][name]).status for name in wanted} == wanted


FAR = 10**400


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"exp": FAR}, 200),
        ({"exp": -FAR}, 403),
        ({"exp": float("inf")}, 403),
        ({"exp": "1e400"}, 403),
        ({"iat": FAR}, 403),
        ({"nbf": float("-inf")}, 403),
        ({"sub": 7}, 200),
        ({"jti": 7}, 200),
    ],
    ids=str,
)
def test_claims_of_any_size_and_type(web: Api, world: Database, claims: dict[str, Any], status: int) -> None:
    made = {"userId": new_user(), "role": "user", "exp": int(time.time()) + 60} | claims
    raw = jwt.api_jws.PyJWS().encode(json.dumps(made).encode(), TOKENS["jwt_secret"].encode(), algorithm="HS256")
    assert ask(web, raw).status == status


def test_the_issuers_clock_may_be_some_seconds_ahead(web: Api, world: Database) -> None:
    def status(**claims: float) -> int:
        made = {"userId": new_user(), "role": "user", "exp": time.time() + 60} | claims
        return int(ask(web, jwt.encode(made, TOKENS["jwt_secret"], algorithm="HS256")).status)

    now = time.time()
    assert status(iat=now + 2) == 200
    assert status(nbf=now + 2) == 200
    assert status(iat=now + 60) == 403
    assert status(nbf=now + 60) == 403
    assert status(exp=now - 2) == 403  # but an expired token has expired


CANONICAL = "00a11ce0-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    "user_id",
    [
        CANONICAL.replace("-", "_"),
        CANONICAL.replace("-", "")[:-3] + "_01",
        f" {CANONICAL}"[:36],
        "+" + CANONICAL[1:],
        CANONICAL.replace("0", "０"),
        CANONICAL.replace("-", ""),
        f"{{{CANONICAL}}}",
        f"urn:uuid:{CANONICAL}",
        f"{CANONICAL}\n",
        [CANONICAL],
        None,
    ],
    ids=repr,
)
def test_a_user_id_is_a_uuid_as_everybody_writes_it(web: Api, world: Database, user_id: Any) -> None:
    claims = {"userId": user_id, "role": "user", "exp": int(time.time()) + 60}
    answer = ask(web, jwt.encode(claims, TOKENS["jwt_secret"], algorithm="HS256"))
    assert (answer.status, answer.json["code"]) == (401, "USER_NOT_FOUND")


def test_issue_token_makes_tokens_that_are_accepted(web: Api, world: Database) -> None:
    user = new_user()
    made = manage("issue_token", "--user-id", user, "--days", "1")
    assert made.returncode == 0, made.stderr
    assert ask(web, made.stdout.strip()).status == 200
    assert jwt.decode(made.stdout.strip(), TOKENS["jwt_secret"], algorithms=["HS256"])["userId"] == user
    assert manage("issue_token", AUTH_SERVICE_URL="http://127.0.0.1:9").returncode != 0
