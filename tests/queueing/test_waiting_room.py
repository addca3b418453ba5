"""The waiting room as those see it who come, who buy, and who run it. The tests make its ticks themselves."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from devtools.embedded import Servers
from queueing import store
from queueing.selectors import policy_of
from tests.support.harness import (
    HALL,
    STANDING,
    STANDING_A,
    THEATRE,
    UPCOMING,
    Answer,
    Api,
    Database,
    new_user,
    running_web,
    seat,
    token,
)
from tests.support.waiting_room import ADMIN, as_admin, check, overview, set_policy, states, status, tick, users

NOWHERE = "ffffffff-ffff-4fff-8fff-ffffffffffff"
NOT_ADMITTED = {"error": "대기열을 통해 입장해주세요."}


@pytest.fixture
def api(web: Api, world: Database) -> Api:
    return web


# --- The way through it -----------------------------------------------------------------------------------------------


def test_from_the_line_to_the_seat(api: Api) -> None:
    set_policy(api, threshold=2, admissionsPerSecond=0.5, burst=3)
    first, second, third, fourth = users(4)
    let_in = check(api, first)
    assert let_in.pop("pass")
    assert let_in.pop("passExpiresAt")
    assert let_in == {"queued": False, "currentUsers": 0, "threshold": 2, "queueSize": 0, "state": "active"}
    assert check(api, second)["currentUsers"] == 1
    waits = check(api, third)
    assert (waits["queued"], waits["position"], waits["currentUsers"], waits["state"]) == (True, 1, 2, "waiting")
    assert waits["estimatedWait"] == 2  # seconds: nothing is measured yet, and the policy allows one in two
    assert check(api, fourth)["position"] == 2
    assert check(api, fourth)["position"] == 2  # once more, from another device
    assert overview(api) == (2, 2)
    assert api.reserve(third, HALL, seat(1, 1)).json == NOT_ADMITTED

    assert tick() == {}
    assert api.post(f"/queue/leave/{HALL}", user=first).json == {"message": "대기열에서 나왔습니다."}
    assert tick() == {"admitted": 1}
    assert states(api, [first, second, third, fourth]) == ["none", "active", "active", "waiting"]
    words = [status(api, user)["status"] for user in (first, second, fourth)]
    assert words == ["not_in_queue", "active", "queued"], "as the existing web clients call it"
    let_in = status(api, third)
    assert (let_in["queued"], let_in["position"], let_in["estimatedWait"], let_in["queueSize"]) == (False, 0, 0, 1)
    assert let_in["pass"]
    assert let_in["passExpiresAt"].endswith("Z")
    assert api.reserve(third, HALL, seat(1, 1)).status == 201
    assert status(api, fourth)["position"] == 1


def test_who_does_not_know_the_line_buys_as_before_while_nobody_waits(api: Api) -> None:
    assert api.reserve(new_user(), HALL, seat(1, 1)).status == 201
    assert api.buy(new_user(), STANDING, **{STANDING_A: 1}).status == 201
    assert overview(api, HALL) == (0, 1)


def test_nobody_passes_those_who_wait(api: Api) -> None:
    """There is room again, but somebody waits for it."""
    set_policy(api, threshold=1)
    inside, waiting, late = users(3)
    check(api, inside)
    check(api, waiting)
    api.post(f"/queue/leave/{HALL}", user=inside)
    assert api.reserve(late, HALL, seat(1, 1)).json == NOT_ADMITTED
    assert check(api, late)["position"] == 2
    assert api.reserve(waiting, HALL, seat(1, 1)).json == NOT_ADMITTED
    tick()
    assert states(api, [waiting, late]) == ["active", "waiting"]


def test_leaving_the_line_moves_the_others_up(api: Api) -> None:
    set_policy(api, threshold=0)
    crowd = users(5)
    assert [check(api, user)["position"] for user in crowd] == [1, 2, 3, 4, 5]
    api.post(f"/queue/leave/{HALL}", user=crowd[1])
    assert [status(api, user)["position"] for user in crowd] == [1, 0, 2, 3, 4]
    assert check(api, crowd[1])["position"] == 5


def test_a_heartbeat_says_what_status_says(api: Api) -> None:
    set_policy(api, threshold=0)
    user = new_user()
    check(api, user)
    beat = api.post(f"/queue/heartbeat/{HALL}", user=user)
    assert beat.status == 200
    assert beat.json.keys() == status(api, user).keys()
    assert beat.json["position"] == 1


def test_the_silent_are_dropped_and_come_back_to_their_places(api: Api, redis) -> None:
    set_policy(api, threshold=0, idleSeconds=5, graceSeconds=100)
    crowd = users(4)
    for user in crowd:
        check(api, user)
    for silent in crowd[:2]:
        redis.zincrby(f"queue:seen:{HALL}", -6_000_000, silent)  # not heard of for six seconds
    tick()
    assert overview(api) == (2, 0)
    assert status(api, crowd[2])["position"] == 1
    assert status(api, crowd[1])["position"] == 1  # back, before who came later
    assert [status(api, user)["position"] for user in crowd] == [1, 2, 3, 4]
    redis.zincrby(f"queue:seen:{HALL}", -6_000_000, crowd[0])
    tick()
    redis.zincrby(f"queue:grace:until:{HALL}", -200_000_000, crowd[0])  # and the grace time is over
    assert status(api, crowd[0])["state"] == "none"
    assert check(api, crowd[0])["position"] == 4


# --- What frees a place inside ----------------------------------------------------------------------------------------


def pay(api: Api, user: str, redis: Any) -> None:
    made = api.reserve(user, HALL, seat(1, 1)).json["reservation"]
    assert api.confirm(made["id"], made["totalAmount"]).status == 200


def pay_for_tickets(api: Api, user: str, redis: Any) -> None:
    made = api.buy(user, HALL, **{"71c00000-0000-4000-8000-000000000001": 1}).json["reservation"]
    assert api.confirm(made["id"], made["totalAmount"]).status == 200


def cancel(api: Api, user: str, redis: Any) -> None:
    assert api.cancel(user, api.reserve(user, HALL, seat(1, 1)).json["reservation"]["id"]).status == 200


def leave(api: Api, user: str, redis: Any) -> None:
    assert api.post(f"/queue/leave/{HALL}", user=user).status == 200


def run_out(api: Api, user: str, redis: Any) -> None:
    assert redis.zincrby(f"active:until:{HALL}", -700_000_000, user)


def fall_silent(api: Api, user: str, redis: Any) -> None:
    assert redis.zincrby(f"active:seen:{HALL}", -700_000_000, user)


@pytest.mark.parametrize("end", [pay, cancel, leave, run_out, fall_silent])
def test_the_place_is_free_at_once(api: Api, redis, end: Callable[..., None]) -> None:
    set_policy(api, threshold=1)
    inside, next_one = users(2)
    assert check(api, inside)["state"] == "active"
    end(api, inside, redis)
    assert check(api, next_one)["state"] == "active"  # without any tick
    assert states(api, [inside]) == ["none"]


def test_an_event_that_does_not_take_place_has_no_line(api: Api) -> None:
    set_policy(api, threshold=1)
    inside, waiting = users(2)
    check(api, inside)
    check(api, waiting)
    from tests.support.harness import INTERNAL

    assert api.post(f"/internal/events/{HALL}/cancel", headers=INTERNAL).status == 200
    answer = api.post(f"/queue/check/{HALL}", user=new_user())
    assert (answer.status, answer.json) == (409, {"error": "종료된 이벤트입니다."})
    assert api.reserve(inside, HALL, seat(1, 1)).json == {"success": False, "message": "판매 중인 이벤트가 아닙니다."}
    tick()
    assert overview(api) == (0, 0)
    assert states(api, [inside, waiting]) == ["none", "none"]


# --- Bad input and who may --------------------------------------------------------------------------------------------

CALLS = [
    ("POST", "check", "user"), ("GET", "status", "user"), ("POST", "heartbeat", "user"), ("POST", "leave", "user"),
    ("GET", "draw", "user"), ("GET", "admin", "admin"), ("POST", "admin/clear", "admin"), ("POST", "admin/pause", "admin"),
    ("POST", "admin/resume", "admin"), ("GET", "admin/policy", "admin"), ("POST", "admin/policy", "admin"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "who"), CALLS)
def test_wrong_events_and_people_are_refused(api: Api, redis, method: str, path: str, who: str) -> None:
    def call(event_id: str, headers: dict[str, str]) -> tuple[int, Any]:
        answer = api.call(
            method, f"/queue/{path}/{event_id}", {"threshold": 5} if method == "POST" else None, headers=headers
        )
        return answer.status, answer.json

    allowed = {"Authorization": f"Bearer {token(new_user(), role=who)}"}
    assert call(NOWHERE, allowed) == (404, {"error": "이벤트를 찾을 수 없습니다."})
    assert call("abc", allowed) == (400, {"error": "Invalid event ID format"})
    if path != "draw":
        assert call(HALL, {}) == (401, {"error": "인증이 필요합니다."})
    if who == "admin":
        user = {"Authorization": f"Bearer {token(new_user())}"}
        assert call(HALL, user) == (403, {"error": "관리자 권한이 필요합니다."})
        assert call(NOWHERE, user)[0] == 403
    assert redis.keys("*queue*") == []  # nothing has happened
    assert redis.keys("active*") == []


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"threshold": -1}, {"threshold": "many"}, {"threshold": 1.5}, {"threshold": 10**9}, {"burst": 0},
        {"admissionsPerSecond": -1}, {"admissionsPerSecond": "NaN"}, {"admissionsPerSecond": "Infinity"},
        {"admissionsPerSecond": False}, {"threshold": True},
        {"admissionSeconds": 1}, {"idleSeconds": 0}, {"isPaused": None}, {"isPaused": "perhaps"}, {"opensAt": "soon"},
        {"opensAt": "0001-01-01T00:00:00Z"}, {"opensAt": "9999-12-31T23:59:59Z"}, {"isOn": []}, {"tresHold": 5},
        {"threshold": 5, "burst": 0},
    ],
)  # fmt: skip
def test_bad_policies_are_refused(api: Api, world: Database, changes: dict[str, Any]) -> None:
    answer = as_admin(api, "POST", f"/queue/admin/policy/{HALL}", changes)
    assert answer.status == 400, answer.json
    assert answer.json["error"]
    assert world.rows("SELECT * FROM queue_policies") == []


def test_a_policy_counts_from_the_next_call_on(api: Api) -> None:
    default = as_admin(api, "GET", f"/queue/admin/policy/{HALL}").json["policy"]
    assert (default["isOn"], default["threshold"], default["isPaused"], default["opensAt"]) == (True, 1000, False, None)
    inside = users(3)
    assert [check(api, user)["threshold"] for user in inside] == [1000] * 3
    set_policy(api, threshold=4)
    assert check(api, new_user())["state"] == "active"
    waiting = new_user()
    assert check(api, waiting)["state"] == "waiting"
    set_policy(api, threshold=2)  # nobody is thrown out, and nobody is let in
    api.post(f"/queue/leave/{HALL}", user=inside[0])
    tick()
    assert overview(api) == (1, 3)
    set_policy(api, isOn=False)
    late = new_user()
    assert check(api, late)["queued"] is False
    assert api.reserve(late, HALL, seat(1, 1)).status == 201
    assert set_policy(api, isOn=None, threshold=None) == default


@pytest.mark.parametrize("one_ends_late", [False, True], ids=["begun after", "ended after"])
def test_of_two_changes_the_last_one_counts_in_whichever_order_redis_hears_of_them(
    api: Api, world: Database, *, one_ends_late: bool
) -> None:
    set_policy(api, threshold=1)
    check(api, new_user())  # Redis knows the policy
    late = Database(world.url)
    if one_ends_late:
        late.rows("BEGIN")
        late.rows("SELECT pg_current_xact_id()")
    world.rows("UPDATE queue_policies SET threshold = 2")
    before = policy_of(UUID(HALL)).as_fields()
    late.rows("UPDATE queue_policies SET threshold = 3")
    late.rows("COMMIT")
    after = policy_of(UUID(HALL)).as_fields()
    late.close()

    store.replace_policy(UUID(HALL), after)
    store.replace_policy(UUID(HALL), before)
    assert check(api, new_user())["threshold"] == 3
    set_policy(api, threshold=4)
    assert check(api, new_user())["threshold"] == 4


def test_paused_nobody_is_let_in(api: Api) -> None:
    assert as_admin(api, "POST", f"/queue/admin/pause/{HALL}").json == {"message": "대기열 입장이 일시 중지되었습니다."}
    user = new_user()
    assert check(api, user)["isPaused"] is True
    tick()
    assert api.reserve(new_user(), HALL, seat(1, 1)).json == NOT_ADMITTED
    assert states(api, [user]) == ["waiting"]
    assert as_admin(api, "POST", f"/queue/admin/resume/{HALL}").status == 200
    tick()
    assert states(api, [user]) == ["active"]


def test_a_rate_holds_back_even_where_there_is_room(api: Api) -> None:
    set_policy(api, admissionsPerSecond=1, burst=2)
    crowd = users(6)
    assert [check(api, user)["queued"] for user in crowd] == [False, False, True, True, True, True]
    started = time.monotonic()
    admitted = 0
    while admitted < 3:
        admitted += tick().get("admitted", 0)
        assert admitted <= 1 + (time.monotonic() - started)
        time.sleep(0.05)
    assert states(api, crowd) == ["active"] * 5 + ["waiting"]


def test_what_administrators_do_is_in_the_log_with_who_did_it(
    world: Database, caplog: pytest.LogCaptureFixture, client: Client
) -> None:
    def post(path: str, body: Any, role: str) -> int:
        sent = {"Authorization": f"Bearer {token(ADMIN, role=role)}"}
        return client.post(f"/queue/admin/{path}/{HALL}", body, "application/json", headers=sent).status_code

    with caplog.at_level("INFO", "queueing.views"):
        calls = [("clear", {}), ("pause", {}), ("resume", {}), ("policy", {"threshold": 7})]
        assert [post(path, body, "admin") for path, body in calls] == [200] * 4
        assert post("clear", {}, "user") == 403
    lines: list[Any] = [record for record in caplog.records if record.name == "queueing.views"]
    said = ["cleared", "paused", "resumed", "policy changed"]
    assert [line.getMessage() for line in lines] == [f"waiting room: {done}" for done in said]
    assert {(line.event_id, line.administrator) for line in lines} == {(HALL, ADMIN)}
    assert lines[-1].threshold == "7"


def test_clearing_sends_everybody_away(api: Api) -> None:
    set_policy(api, threshold=1)
    inside, waiting = users(2)
    pass_ = check(api, inside)["pass"]
    ticket = check(api, waiting)["ticket"]
    cleared = as_admin(api, "POST", f"/queue/admin/clear/{HALL}").json
    assert cleared == {"message": "대기열이 초기화되었습니다.", "clearedQueue": 1, "clearedActive": 1}
    assert overview(api) == (0, 0)
    assert status(api, inside, **{"Queue-Pass": pass_})["state"] == "none"
    assert status(api, waiting, **{"Queue-Ticket": ticket})["state"] == "none"


def test_the_admin_page_changes_the_policy(api: Api, admin_pages) -> None:
    check(api, new_user())
    page = admin_pages.client.get("/admin/queueing/queuepolicy/add/")
    assert page.status_code == 200
    saved = admin_pages.client.post(
        "/admin/queueing/queuepolicy/add/", {"event": HALL, "threshold": "1", "is_on": "true"}
    )
    assert saved.status_code == 302, saved.context["adminform"].form.errors
    assert check(api, new_user())["queued"] is True
    url = f"/admin/queueing/queuepolicy/{HALL}/change/"
    for limits in ({"threshold": "-3"}, {"burst": "0"}, {"idle_seconds": "4"}):
        refused = admin_pages.client.post(url, {"is_on": "true"} | limits)
        assert refused.status_code == 200
        assert list(refused.context["adminform"].form.errors) == list(limits)
    assert as_admin(api, "GET", f"/queue/admin/policy/{HALL}").json["policy"]["threshold"] == 1


# --- Nobody buys without admission ------------------------------------------------------------------------------------


def shut(api: Api, event_id: str = HALL) -> str:
    """Fills the inside; the one who has a valid pass."""
    set_policy(api, event_id, threshold=1)
    inside = new_user()
    assert check(api, inside, event_id)["state"] == "active"
    return inside


def attempts(api: Api, user: str, **headers: str) -> list[Answer]:
    tickets = {"eventId": STANDING, "items": [{"ticketTypeId": STANDING_A, "quantity": 1}]}
    return [
        api.reserve(user, HALL, seat(1, 1), headers=headers),
        api.reserve(user, HALL.upper(), seat(1, 1), headers=headers),
        api.post("/api/seats/reserve/", {"eventId": HALL, "seatIds": [seat(1, 1)]}, user=user, headers=headers),
        api.post("/reservations", tickets, user=user, headers=headers),
        api.post("/api/reservations/", tickets, user=user, headers=headers),
    ]


def test_without_admission_nobody_buys_by_any_path(api: Api, world: Database) -> None:
    inside = shut(api, HALL)
    also_inside = shut(api, STANDING)
    outsider = new_user()
    own_ticket = check(api, outsider)["ticket"]
    left, left_pass = new_user(), ""
    set_policy(api, THEATRE, threshold=5)
    left_pass = check(api, left, THEATRE)["pass"]
    before = world.everything()
    headers: list[dict[str, str]] = [
        {},
        {"Queue-Pass": status(api, inside)["pass"]},  # somebody else's
        {"Queue-Pass": status(api, also_inside, STANDING)["pass"]},
        {"Queue-Pass": own_ticket},
        {"Queue-Ticket": own_ticket},
        {"Queue-Pass": left_pass},  # of another event
        *({"Queue-Pass": rubbish} for rubbish in ("x", "~", "1.2.3~", "1.2.3~abc", "..~", "9" * 5000, "a.b.c~d")),
        {"X-User-Id": inside},
        {"Idempotency-Key": "one"},
        {"Idempotency-Key": "one"},  # and again
    ]
    for sent in headers:
        for answer in attempts(api, outsider, **sent):
            assert (answer.status, answer.json) == (403, NOT_ADMITTED), sent
    for answer in attempts(api, left, **{"Queue-Pass": left_pass}):
        assert answer.status == 403
    assert world.everything() == before
    assert api.seat_status(HALL, seat(1, 1)) == "available"


def test_a_pass_of_who_has_left_is_worth_nothing(api: Api, world: Database) -> None:
    set_policy(api, threshold=1)
    user = new_user()
    pass_ = check(api, user)["pass"]
    api.post(f"/queue/leave/{HALL}", user=user)
    check(api, new_user())
    assert api.reserve(user, HALL, seat(1, 1), headers={"Queue-Pass": pass_}).json == NOT_ADMITTED
    assert status(api, user, **{"Queue-Pass": pass_})["state"] == "none"


def test_a_repeated_request_gets_its_answer_and_sells_nothing(api: Api, world: Database) -> None:
    """Whoever bought and is out again may ask for the answer that got lost; it buys nothing more."""
    set_policy(api, threshold=1)
    user, named = new_user(), {"Idempotency-Key": "once"}
    first = api.reserve(user, HALL, seat(1, 1), headers=named)
    assert first.status == 201
    api.post(f"/queue/leave/{HALL}", user=user)
    check(api, new_user())
    before = world.everything()
    again = api.reserve(user, HALL, seat(1, 1), headers=named)
    assert (again.status, again.json) == (201, first.json)
    assert api.reserve(user, HALL, seat(1, 2), headers={"Idempotency-Key": "twice"}).status == 403
    assert api.reserve(user, HALL, seat(1, 2), headers=named).status == 422
    assert world.everything() == before


def test_off_sale_is_said_before_not_admitted(api: Api) -> None:
    for event_id in (HALL, UPCOMING):
        set_policy(api, event_id, threshold=0)
    assert api.reserve(new_user(), UPCOMING, seat(3, 1)).json["message"] == "판매 중인 이벤트가 아닙니다."
    assert api.reserve(new_user(), HALL, seat(1, 1)).json == NOT_ADMITTED


# --- Without Redis, without PostgreSQL, without workers ---------------------------------------------------------------


def test_without_redis_a_pass_alone_decides(api: Api, world: Database, redis_server: Servers) -> None:
    with_pass, cleared, other, without = users(4)
    cleared_pass = check(api, cleared)["pass"]
    time.sleep(0.01)
    as_admin(api, "POST", f"/queue/admin/clear/{HALL}")
    pass_ = check(api, with_pass)["pass"]
    other_pass = check(api, other, THEATRE)["pass"]
    from queueing.passes import issue_pass
    from queueing.states import Visitor

    found = store.check_in(UUID(HALL), visitor=Visitor(UUID(other)), mode="check")

    stale = issue_pass(UUID(HALL), UUID(other), found._replace(admitted_until=found.now - 1))
    redis_server.stop_redis()
    before = world.everything()
    for user, sent in [
        (without, {}),
        (without, {"Queue-Pass": pass_}),
        (other, {"Queue-Pass": other_pass}),
        (other, {"Queue-Pass": stale}),
        (cleared, {"Queue-Pass": cleared_pass}),
        (without, {"Queue-Pass": "1.2.3~abc"}),
    ]:
        answer = api.reserve(user, HALL, seat(1, 1), headers=sent)
        assert (answer.status, answer.headers["retry-after"]) == (503, "2"), sent
    for path in ("check", "heartbeat", "leave"):
        assert api.post(f"/queue/{path}/{HALL}", user=with_pass).status == 503
    assert api.get(f"/queue/status/{HALL}", user=with_pass).status == 503
    assert world.everything() == before
    assert api.reserve(with_pass, HALL, seat(1, 1), headers={"Queue-Pass": pass_}).status == 201
    assert api.reserve(with_pass, NOWHERE, seat(1, 1), headers={"Queue-Pass": pass_}).status == 404


def test_without_postgresql_the_line_goes_on(api: Api, world: Database, database_url: str, logs) -> None:
    set_policy(api, threshold=1)
    inside, waiting, late = users(3)
    check(api, inside)
    check(api, waiting)
    nowhere = database_url.rpartition("@")[0] + "@127.0.0.1:1/gone"
    with running_web(logs / "no-postgresql.log", DATABASE_URL=nowhere, WEB_WORKERS="1") as lonely:
        assert status(lonely, waiting)["position"] == 1
        assert check(lonely, late)["position"] == 2
        assert lonely.post(f"/queue/leave/{HALL}", user=inside).status == 200
        tick()
        assert states(lonely, [waiting, late]) == ["active", "waiting"]
        assert lonely.reserve(late, HALL, seat(1, 1)).status == 403
        assert lonely.reserve(waiting, HALL, seat(1, 1)).status == 503


def test_without_workers_the_status_says_so(api: Api, redis) -> None:
    set_policy(api, threshold=1)
    check(api, new_user())
    user = new_user()
    check(api, user)
    tick()
    assert status(api, user)["isAdmitting"] is True
    ticked = int(redis.hget(f"queue:state:{HALL}", "round_at"))
    redis.hset(f"queue:state:{HALL}", "round_at", ticked - 6_000_000)
    said = status(api, user)
    assert said["isAdmitting"] is False
    assert said["estimateIsMeasured"] is False
    assert said["estimatedWaitRange"][1] is None
    assert as_admin(api, "GET", f"/queue/admin/{HALL}").json["isAdmitting"] is False


def test_limits_near_nothing_are_told_as_such(api: Api) -> None:
    set_policy(api, threshold=1, admissionsPerSecond=1e-300)
    user = new_user()
    check(api, new_user())
    check(api, user)
    tick()
    assert status(api, user)["estimatedWait"] == 365 * 86_400
    assert status(api, user)["isAdmitting"] is True
    for limits in ({"threshold": 0}, {"threshold": 1, "admissionsPerSecond": 0}):
        set_policy(api, **limits)
        assert status(api, user)["isAdmitting"] is False


@pytest.mark.long
def test_redis_forgets_everything_and_the_line_comes_back_in_order(
    world: Database, database_url: str, logs, redis_server: Servers
) -> None:
    with running_web(
        logs / "rebuild.log", DATABASE_URL=database_url, WEB_WORKERS="1", QUEUE_REBUILD_SECONDS="3"
    ) as api:
        set_policy(api, threshold=3)
        inside, waiting = users(3), users(6)
        passes = {user: check(api, user)["pass"] for user in inside}
        tickets = {user: check(api, user)["ticket"] for user in waiting}
        os.kill(redis_server.redis.pid(), signal.SIGKILL)
        assert api.get(f"/queue/status/{HALL}", user=waiting[0]).status == 503
        redis_server.start_redis()
        time.sleep(1.1)  # the circuit breaker rests
        newcomers = users(2)
        assert [check(api, user)["state"] for user in newcomers] == ["waiting", "waiting"]  # they pass nobody
        assert api.reserve(new_user(), HALL, seat(1, 1)).status == 403
        for user in reversed(waiting):
            assert status(api, user, **{"Queue-Ticket": tickets[user]})["state"] == "waiting"
        for user in inside:
            assert status(api, user, **{"Queue-Pass": passes[user]})["state"] == "active"
        assert [status(api, user)["position"] for user in (*waiting, *newcomers)] == list(range(1, 9))
        assert overview(api) == (8, 3)
        assert tick() == {}  # those who have not come back yet may still
        api.post(f"/queue/leave/{HALL}", user=inside[0])
        assert tick() == {}
        time.sleep(3.1)
        assert tick() == {"admitted": 1}
        assert states(api, waiting[:2]) == ["active", "waiting"]


# --- What it costs ----------------------------------------------------------------------------------------------------


def test_each_call_is_one_round_trip(world: Database, counted_web) -> None:
    api = counted_web.api
    set_policy(api, threshold=1)
    inside, waiting, admin = users(3)
    check(api, inside)
    check(api, waiting)
    tick()
    as_admin(api, "GET", f"/queue/admin/{HALL}")
    api.post(f"/queue/leave/{HALL}", user=new_user())  # a script costs another round trip until Redis has loaded it
    calls: list[Callable[[], Answer]] = [
        partial(api.post, f"/queue/check/{HALL}", user=inside),
        partial(api.post, f"/queue/check/{HALL}", user=waiting),
        partial(api.post, f"/queue/check/{HALL}", user=admin),
        partial(api.get, f"/queue/status/{HALL}", user=inside),
        partial(api.get, f"/queue/status/{HALL}", user=waiting),
        partial(api.post, f"/queue/heartbeat/{HALL}", user=waiting),
        partial(api.post, f"/queue/leave/{HALL}", user=waiting),
        partial(as_admin, api, "GET", f"/queue/admin/{HALL}"),
    ]
    for call in calls:
        assert counted_web.during(call) == (0, 1), call


# --- What operators see -----------------------------------------------------------------------------------------------


def test_metrics_are_read_from_redis(api: Api, redis) -> None:
    set_policy(api, threshold=2, idleSeconds=5)
    crowd = users(5)
    for user in crowd:
        check(api, user)
    api.post(f"/queue/leave/{HALL}", user=crowd[0])
    api.post(f"/queue/leave/{HALL}", user=crowd[4])
    redis.zincrby(f"queue:seen:{HALL}", -6_000_000, crowd[3])
    tick()
    said = api.get("/metrics").json.decode()

    def value(name: str, **labels: str) -> float:
        inner = ",".join(f'{key}="{text}"' for key, text in sorted({"event_id": HALL, **labels}.items()))
        return float(next(line for line in said.splitlines() if line.startswith(f"{name}{{{inner}}}")).split()[-1])

    assert value("queue_users") == 0
    assert value("queue_active_users") == 2
    assert value("queue_threshold") == 2
    assert value("queue_joined_total") == 3
    assert value("queue_admissions_total", way="direct") == 2
    assert value("queue_admissions_total", way="from_queue") == 1
    assert value("queue_dropped_total", cause="idle") == 1
    assert value("queue_dropped_total", cause="left") == 1
    assert value("queue_admissions_ended_total", cause="left") == 1
    assert value("queue_wait_time_seconds_count") == 1
    assert value("queue_seconds_since_admission_round") < 5


def join_all(api: Api, crowd: list[str]) -> list[int]:
    with ThreadPoolExecutor(16) as threads:
        return [answer["position"] for answer in threads.map(partial(check, api), crowd)]


def test_positions_have_no_gap_and_no_tie(api: Api) -> None:
    set_policy(api, threshold=0)
    assert sorted(join_all(api, users(1000))) == list(range(1, 1001))
