"""The join challenge: what newcomers prove before they join, and who is spared."""

import base64
import http.server
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from altcha import Challenge, Payload, create_challenge, solve_challenge

from queueing import checks, selectors
from queueing.challenges.proof_of_work import ALGORITHM, ProofOfWork
from tests.support.harness import HALL, THEATRE, Answer, Api, Database, free_port, manage, new_user, running_web, seat
from tests.support.http_server import serving_http

pytestmark = pytest.mark.slow

REQUIRED = {"error": "대기열에 참여하려면 확인 절차가 필요합니다.", "code": "CHALLENGE_REQUIRED"}
FAILED = {"error": "확인에 실패했습니다. 다시 시도해주세요.", "code": "CHALLENGE_FAILED"}


def check(api: Api, user: str, response: str = "", event_id: str = HALL) -> Answer:
    headers = {"Challenge-Response": response} if response else {}
    return api.post(f"/queue/check/{event_id}", user=user, headers=headers)


# --- Proof of work ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def api(database_url: str, logs: Path) -> Iterator[Api]:
    challenge = {"JOIN_CHALLENGE": "proof-of-work", "PROOF_OF_WORK_COST": "10", "RATE_LIMIT_JOIN": "30/h"}
    with running_web(logs / "proof.log", DATABASE_URL=database_url, WEB_WORKERS="1", **challenge) as running:
        yield running


def solve(api: Api, user: str, event_id: str = HALL) -> Payload:
    issued = api.get(f"/queue/challenge/{event_id}", user=user)
    assert issued.status == 200
    challenge = Challenge.from_dict(issued.json)
    solution = solve_challenge(challenge)
    assert solution is not None
    return Payload(challenge, solution)


def test_a_newcomer_joins_with_a_solution_only(api: Api, world: Database) -> None:
    user = new_user()
    refused = check(api, user)
    assert (refused.status, refused.json) == (403, REQUIRED)
    assert api.get(f"/queue/status/{HALL}", user=user).json["state"] == "none"
    joined = check(api, user, solve(api, user).to_base64())
    assert (joined.status, joined.json["state"]) == (200, "active")


def test_whoever_waits_or_is_active_is_not_asked_again(api: Api, world: Database, redis: Any) -> None:
    first, second = new_user(), new_user()
    world.rows("INSERT INTO queue_policies (event_id, threshold) VALUES (%s, 1)", HALL)
    assert check(api, first, solve(api, first).to_base64()).json["state"] == "active"
    assert check(api, second, solve(api, second).to_base64()).json["state"] == "waiting"
    for user, state in ((first, "active"), (second, "waiting")):
        assert check(api, user).json["state"] == state
        assert check(api, user, "rubbish").json["state"] == state
        assert api.post(f"/queue/heartbeat/{HALL}", user=user).json["state"] == state


def test_buying_without_joining_is_no_way_around_it(api: Api, world: Database) -> None:
    user = new_user()
    refused = api.reserve(user, HALL, seat(1, 1))
    assert (refused.status, refused.json) == (403, {"error": "대기열을 통해 입장해주세요."})
    check(api, user, solve(api, user).to_base64())
    assert api.reserve(user, HALL, seat(1, 1)).status == 201


def test_a_solution_is_its_users_and_its_events(api: Api, world: Database) -> None:
    user = new_user()
    solved = solve(api, user).to_base64()
    assert (check(api, new_user(), solved).status, check(api, user, solved, THEATRE).status) == (403, 403)
    assert check(api, user, solved).status == 200


def test_wrong_outdated_and_forged_responses_fail(api: Api, world: Database, settings: Any) -> None:
    user = new_user()
    about = {"event": HALL, "user": user}
    wrong, longer, looser = solve(api, user), solve(api, user), solve(api, user)
    wrong.solution.counter += 1
    longer.challenge.parameters.expires_at += 10_000
    looser.challenge.parameters.key_prefix = ""
    own = create_challenge(ALGORITHM, 1, data=about, expires_at=int(time.time()) + 60, hmac_secret="a secret of mine")
    forged = Payload(own, solve_challenge(own))  # type: ignore[arg-type]
    responses = [payload.to_base64() for payload in (wrong, longer, looser, forged)]
    nested = base64.b64encode(b"[" * 2000).decode()
    shapes: list[Any] = [[], "x", 1, {}, {"challenge": []}, {"challenge": {"parameters": 1}, "solution": {}}]
    responses += [
        "rubbish",
        "%%%",
        nested,
        "x" * 5000,
        *(base64.b64encode(json.dumps(s).encode()).decode() for s in shapes),
    ]
    for response in responses:
        answer = check(api, user, response)
        assert (answer.status, answer.json) == (403, FAILED), response[:100]
    assert api.get(f"/queue/status/{HALL}", user=user).json["state"] == "none"


def test_a_challenge_is_over_after_its_time(settings: Any) -> None:
    settings.JOIN_CHALLENGE_SECONDS, settings.PROOF_OF_WORK_COST = -1, 1
    about: dict[str, Any] = {"event_id": HALL, "user_id": new_user()}
    challenge = Challenge.from_dict(ProofOfWork().issue(**about))
    solved = Payload(challenge, solve_challenge(challenge)).to_base64()  # type: ignore[arg-type]
    assert not ProofOfWork().is_solved(solved, address="", **about)


def test_a_challenge_that_was_signed_with_the_key_of_before_is_still_good(settings: Any) -> None:
    settings.PROOF_OF_WORK_COST = 1
    about: dict[str, Any] = {"event_id": HALL, "user_id": new_user()}
    challenge = Challenge.from_dict(ProofOfWork().issue(**about))
    solved = Payload(challenge, solve_challenge(challenge)).to_base64()  # type: ignore[arg-type]
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another"
    assert ProofOfWork().is_solved(solved, address="", **about)
    settings.SECRET_KEY_FALLBACKS = []
    assert not ProofOfWork().is_solved(solved, address="", **about)


def test_failed_responses_count_as_joining_and_nothing_else_is_kept(api: Api, world: Database, redis: Any) -> None:
    user = new_user()
    before = set(redis.keys("*"))
    assert [check(api, user, "rubbish").status for _ in range(32)] == [403] * 30 + [429] * 2
    left = {key for key in set(redis.keys("*")) - before if user in key or "challenge" in key}
    assert left == {f"rate:join:{user}"}


# --- Turnstile --------------------------------------------------------------------------------------------------------


class SiteVerify(http.server.BaseHTTPRequestHandler):
    """Verifies as Turnstile does: each token once."""

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        self.server.asked.append({name: values[0] for name, values in form.items()})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.server.behave(self.server.asked[-1])).encode())

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def verifier() -> Iterator[Any]:
    with serving_http(SiteVerify, asked=[], behave=lambda _: {"success": True}) as server:
        yield server


TURNSTILE = {"JOIN_CHALLENGE": "turnstile", "TURNSTILE_SITE_KEY": "site", "TURNSTILE_SECRET_KEY": "secret"}


@pytest.fixture(scope="module")
def turnstile(database_url: str, logs: Path, verifier: Any) -> Iterator[Api]:
    url = f"http://127.0.0.1:{verifier.server_port}/turnstile/v0/siteverify"
    environment = {"DATABASE_URL": database_url, "WEB_WORKERS": "1", "TRUSTED_PROXIES": "1", **TURNSTILE}
    with running_web(logs / "turnstile.log", **environment, TURNSTILE_VERIFY_URL=url) as running:
        yield running


def test_a_token_is_verified_with_secret_and_address(turnstile: Api, verifier: Any, world: Database) -> None:
    user = new_user()
    issued = turnstile.get(f"/queue/challenge/{HALL}", user=user).json
    assert issued == {"siteKey": "site", "action": "join-queue", "cData": f"{HALL}_{user}"}
    verifier.asked.clear()
    verifier.behave = lambda _: {"success": True, "action": "join-queue", "cdata": issued["cData"], "hostname": "x"}
    headers = {"Challenge-Response": "of the widget & more", "X-Forwarded-For": "203.0.113.9"}
    assert turnstile.post(f"/queue/check/{HALL}", user=user, headers=headers).status == 200
    assert verifier.asked == [{"secret": "secret", "response": "of the widget & more", "remoteip": "203.0.113.9"}]
    assert check(turnstile, user, "again").status == 200
    assert len(verifier.asked) == 1, "only newcomers are verified"


@pytest.mark.parametrize(
    "reply",
    [
        {"success": False, "error-codes": ["timeout-or-duplicate"]},
        {"success": "true"},
        {"success": True, "action": "sign-in"},
        {"success": True, "cdata": "of somebody else"},
    ],
)
def test_what_the_verifier_refuses_fails(turnstile: Api, verifier: Any, world: Database, reply: Any) -> None:
    verifier.behave = lambda _: reply
    answer = check(turnstile, new_user(), "token")
    assert (answer.status, answer.json) == (403, FAILED)


def test_services_that_return_neither_action_nor_cdata_are_compatible(
    turnstile: Api, verifier: Any, world: Database
) -> None:
    verifier.behave = lambda _: {"success": True, "challenge_ts": "2026-01-01T00:00:00Z", "hostname": "tickets"}
    assert check(turnstile, new_user(), "token").status == 200


@pytest.mark.long
def test_a_verifier_that_is_away_or_disagrees_lets_nobody_join_and_keeps_nobody_out(
    turnstile: Api, verifier: Any, world: Database, database_url: str, logs: Path
) -> None:
    inside = new_user()
    verifier.behave = lambda _: {"success": True}
    assert check(turnstile, inside, "token").status == 200
    for reply in ([], "nonsense", {}, {"success": False, "error-codes": ["invalid-input-secret"]}):
        verifier.behave = lambda _, reply=reply: reply
        answer = check(turnstile, new_user(), "token")
        assert (answer.status, answer.headers["retry-after"]) == (503, "2")
        time.sleep(2.1)  # the circuit breaker
    environment = {"DATABASE_URL": database_url, "WEB_WORKERS": "1", **TURNSTILE}
    away = {"TURNSTILE_VERIFY_URL": f"http://127.0.0.1:{free_port()}/"}
    with running_web(logs / "no-verifier.log", **environment, **away) as alone:
        assert check(alone, new_user(), "token").status == 503
        assert check(alone, inside).status == 200
        assert alone.reserve(inside, HALL, seat(1, 1)).status == 201


# --- Which one --------------------------------------------------------------------------------------------------------


def test_there_is_none_by_default(web: Api, world: Database) -> None:
    answer = web.get(f"/queue/challenge/{HALL}", user=new_user())
    assert (answer.status, answer.json) == (404, {"error": "확인 절차가 없습니다."})
    assert check(web, new_user(), "ignored").status == 200
    assert selectors.join_challenge_parameters() is None


class Riddle:
    """A plug-in."""

    def parameters(self) -> dict[str, Any]:
        return {"type": "riddle"}

    def issue(self, **_: Any) -> dict[str, Any]:
        return {"question": "What is it?"}

    def is_solved(self, response: str, **_: Any) -> bool:
        return response == "time"


def test_a_class_of_ones_own_can_be_plugged_in(database_url: str, logs: Path, world: Database, settings: Any) -> None:
    name = "tests.queueing.test_join_challenge.Riddle"
    with running_web(logs / "riddle.log", DATABASE_URL=database_url, WEB_WORKERS="1", JOIN_CHALLENGE=name) as api:
        user = new_user()
        assert api.get(f"/queue/challenge/{HALL}", user=user).json == {"question": "What is it?"}
        assert [check(api, user, said).status for said in ("", "an egg", "time")] == [403, 403, 200]
    settings.JOIN_CHALLENGE = name
    assert selectors.join_challenge_parameters() == {"type": "riddle"}


def test_clients_read_what_all_may_know(settings: Any) -> None:
    settings.JOIN_CHALLENGE = "proof-of-work"
    assert selectors.join_challenge_parameters() == {"type": "proof-of-work", "algorithm": ALGORITHM, "cost": 5000}
    settings.JOIN_CHALLENGE, settings.TURNSTILE_SITE_KEY = "turnstile", "site"
    assert selectors.join_challenge_parameters() == {"type": "turnstile", "siteKey": "site", "action": "join-queue"}


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"JOIN_CHALLENGE": "captcha"}, "JOIN_CHALLENGE is 'captcha'"),
        ({"JOIN_CHALLENGE": "queueing.challenges.Nothing"}, "JOIN_CHALLENGE is 'queueing.challenges.Nothing'"),
        ({"JOIN_CHALLENGE": "turnstile"}, "its keys are missing"),
        ({"PROOF_OF_WORK_COST": "0"}, "PROOF_OF_WORK_COST"),
    ],
)
def test_a_challenge_that_cannot_work_does_not_start(environment: dict[str, str], said: str) -> None:
    checked = manage("check", "--tag", checks.STARTUP, **environment)
    assert checked.returncode != 0
    assert said in checked.stderr
