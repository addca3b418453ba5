"""Tokens: the Auth Service with its cache, time-out and circuit breaker; local verification; who is let in."""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.harness import TOKENS, Api, Database, manage, new_user, running_web, token

pytestmark = pytest.mark.slow

MINE = "/reservations/my"


class ScriptedAuthService(http.server.BaseHTTPRequestHandler):
    """An Auth Service that does as it is told: `behave` gives status and answer for a token."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(asked["token"])
        status, answer = self.server.behave(asked["token"])
        body = json.dumps(answer).encode() if not isinstance(answer, bytes) else answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def let_in(role: str = "user", user_id: str | None = None) -> Any:
    user = {"userId": user_id or new_user(), "email": "a@example.com", "name": "a", "role": role}
    return lambda _: (200, {"valid": True, "user": user})


@contextmanager
def serving(behave: Any) -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ScriptedAuthService)
    server.behave, server.asked, server.daemon_threads = behave, [], True
    server.handle_error = lambda *_: None  # whoever gave up waiting is not there to be answered
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


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
        ((404, {"error": "User not found"}), 401),
        ((200, {"valid": True, "user": {"userId": "12345"}}), 401),
        ((200, {"valid": True}), 401),
        ((500, {"error": "broken"}), 503),
        ((200, b"no json"), 503),
        ((200, b"[]"), 503),
    ],
)
def test_the_service_has_the_last_word(api: Api, auth_service, redis, behaviour: Any, status: int) -> None:
    auth_service.behave = lambda _: behaviour
    answer = ask(api, token(new_user()))
    assert answer.status == status
    assert redis.keys("auth:token:*") == []  # only positive answers are remembered
    if status == 503:
        assert "retry-after" in answer.headers


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


def test_issue_token_makes_tokens_that_are_accepted(web: Api, world: Database) -> None:
    user = new_user()
    made = manage("issue_token", "--user-id", user, "--days", "1")
    assert made.returncode == 0, made.stderr
    assert ask(web, made.stdout.strip()).status == 200
    assert jwt.decode(made.stdout.strip(), TOKENS["jwt_secret"], algorithms=["HS256"])["userId"] == user
    assert manage("issue_token", AUTH_SERVICE_URL="http://127.0.0.1:9").returncode != 0
