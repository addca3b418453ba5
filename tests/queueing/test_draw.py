"""The draw of those who come before the opening: seen from outside, and recomputed by others.

No worker runs here: the tests tick and record by calling what the worker calls.
"""

import hashlib
import hmac
import json
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from queueing import services
from tests.support.harness import ROOT, Answer, Api, Database, manage, new_user, running_web, token, wait_until

pytestmark = pytest.mark.slow

NOWHERE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def event(world: Database) -> str:
    return world.add_event()


def administrator() -> dict[str, str]:
    return {"Authorization": f"Bearer {token(new_user(), role='admin')}"}


def change(web: Api, event: str, **changes: Any) -> Answer:
    return web.post(f"/queue/admin/policy/{event}", changes, headers=administrator())


def moment(seconds: float) -> str:
    return f"{datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%f}"[:23] + "Z"


def open_in(web: Api, event: str, seconds: float, **changes: Any) -> str:
    opens_at = moment(seconds)
    changed = change(web, event, opensAt=opens_at, **changes)
    assert changed.status == 200, changed.json
    assert changed.json["policy"]["opensAt"] == opens_at
    return opens_at


def wait_for(moment: str) -> None:
    time.sleep(max(0, (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()) + 0.05)


def open_now(web: Api, event: str, **changes: Any) -> str:
    """Moves the opening to this moment, and waits for it."""
    opens_at = open_in(web, event, 0.3, **changes)
    wait_for(opens_at)
    return opens_at


def check(web: Api, event: str, user: str, **headers: str) -> dict[str, Any]:
    return _of(web.post(f"/queue/check/{event}", user=user, headers=headers))


def status(web: Api, event: str, user: str, **headers: str) -> dict[str, Any]:
    return _of(web.get(f"/queue/status/{event}", user=user, headers=headers))


def draw(web: Api, event: str, parameters: str = "") -> dict[str, Any]:
    return _of(web.get(f"/queue/draw/{event}{parameters}"))


def _of(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.json
    found: dict[str, Any] = answer.json
    return found


def code_of(event: str, user: str) -> str:
    """As docs/waiting-room.md says it; on purpose not by the code that is tested."""
    return hashlib.sha256(f"{event}:{user}".encode()).hexdigest()


def lot_of(seed: str, event: str, user: str) -> int:
    drawn = hmac.new(bytes.fromhex(seed), bytes.fromhex(code_of(event, user)), "sha256").hexdigest()
    return int(drawn, 16) >> (256 - 50)


def seed_of(database: Database, event: str) -> str:
    seed: str = database.one("SELECT seed FROM queue_draws WHERE event_id = %s", event)
    return seed


def by_lot(database: Database, event: str, users: Sequence[str]) -> list[str]:
    seed = seed_of(database, event)
    return sorted(users, key=lambda user: lot_of(seed, event, user))


# --- From the commitment to the proof ---------------------------------------------------------------------------------


def test_those_who_come_before_the_opening_are_drawn_by_lot(
    web: Api, event: str, database: Database, tmp_path: Path
) -> None:
    opens_at = open_in(web, event, 600, threshold=3)
    announced = draw(web, event, "?participants=all")
    seed = seed_of(database, event)
    assert announced["commitment"] == hashlib.sha256(bytes.fromhex(seed)).hexdigest()
    assert announced["opensAt"] == opens_at
    assert (announced["seed"], announced["drawnAt"], announced["participantCount"]) == (None, None, None)
    assert "participants" not in announced
    assert seed not in json.dumps(announced)

    users = [new_user() for _ in range(12)]
    tickets = {}
    for number, user in enumerate(users, start=1):
        found = check(web, event, user)
        assert (found["queued"], found["position"], found["state"]) == (True, None, "waiting")
        assert (found["opensAt"], found["queueSize"], found["currentUsers"]) == (opens_at, number, 0)
        assert "pass" not in found
        tickets[user] = found["ticket"]
        # Which place it stands for is left empty, and signed as such.
        assert re.fullmatch(r"\d{16}\.\d{16}\.~[\w-]{43}", found["ticket"])
        assert str(lot_of(seed, event, user)) not in json.dumps(found)
    assert services.admit_next() == {}
    before = database.everything()
    seat = database.one("SELECT id FROM seats WHERE event_id = %s", event)
    for headers in ({}, {"Queue-Pass": tickets[users[0]]}, {"Idempotency-Key": "early"}):
        refused = web.reserve(users[0], event, str(seat), headers=headers)
        assert (refused.status, refused.json) == (403, {"error": "대기열을 통해 입장해주세요."})
    assert database.everything() == before
    assert web.reserve(new_user(), event, str(seat)).status == 403  # who buys without having checked is not put in line
    seen = status(web, event, users[0])
    assert (seen["position"], seen["queueSize"], seen["isAdmitting"]) == (None, 12, False)

    opens_at = open_now(web, event)
    late = new_user()
    assert check(web, event, late)["position"] == 13  # also before the tick that draws
    assert services.admit_next() == {"admitted": 3}
    drawn = by_lot(database, event, users)
    assert drawn != users
    assert [status(web, event, user)["state"] for user in drawn] == ["active"] * 3 + ["waiting"] * 9
    assert [status(web, event, user)["position"] for user in (*drawn[3:], late)] == list(range(1, 11))
    assert "opensAt" not in status(web, event, late)
    assert web.reserve(drawn[3], event, str(seat)).status == 403
    assert web.reserve(drawn[0], event, str(seat)).status == 201

    assert f'queue_joined_total{{event_id="{event}"}} 13.0' in web.get("/metrics").json.decode()

    # Held, but not yet durable: a seed that is known could be followed by another draw.
    assert draw(web, event, "?participants=all") == announced | {"opensAt": opens_at}
    assert services.record_draw(event_id=uuid.UUID(event)) == 12
    held = draw(web, event, "?participants=all")
    assert (held["seed"], held["commitment"], held["participantCount"]) == (seed, announced["commitment"], 12)
    assert held["participants"] == [code_of(event, user) for user in drawn]
    assert datetime.fromisoformat(held["drawnAt"]) >= datetime.fromisoformat(opens_at)
    assert "participants" not in draw(web, event)

    assert services.record_draw(event_id=uuid.UUID(event)) == 0  # again: nothing changes
    assert draw(web, event, "?participants=all") == held
    assert_command_agrees(event, drawn, held, database, tmp_path)


def assert_command_agrees(
    event: str, drawn: list[str], held: dict[str, Any], database: Database, directory: Path
) -> None:
    told = manage("verify_draw", event, "--user", drawn[4], DATABASE_URL=database.url)
    assert told.stdout == f"The draw of 12 participants is correct.\n{drawn[4]} was at position 5.\n", told.stderr
    stranger = manage("verify_draw", event, "--user", new_user(), DATABASE_URL=database.url)
    assert (stranger.returncode, "did not take part" in stranger.stderr) == (1, True)

    saved = directory / "draw.json"
    saved.write_text(json.dumps(held))
    call_command("verify_draw", event, "--file", str(saved), "--user", drawn[11])
    call_command("verify_draw", event, "--commitment", held["commitment"])
    codes = held["participants"]
    tampered = {
        "is before a smaller lot": {"participants": [codes[1], codes[0], *codes[2:]]},
        "not the one that was committed to": {"seed": "00" * 32},
        "on the list twice": {"participants": [codes[0], *codes]},
        "no seed or no participants": {"seed": None},
    }
    for complaint, changes in tampered.items():
        saved.write_text(json.dumps(held | changes))
        with pytest.raises(CommandError, match=complaint):
            call_command("verify_draw", event, "--file", str(saved))
    # Seed and commitment changed together: only who has noted the commitment before can tell.
    seed = "11" * 32
    codes = sorted(codes, key=lambda code: hmac.digest(bytes.fromhex(seed), bytes.fromhex(code), "sha256"))
    commitment = hashlib.sha256(bytes.fromhex(seed)).hexdigest()
    saved.write_text(json.dumps(held | {"seed": seed, "commitment": commitment, "participants": codes}))
    call_command("verify_draw", event, "--file", str(saved))
    with pytest.raises(CommandError, match="committed to"):
        call_command("verify_draw", event, "--file", str(saved), "--commitment", held["commitment"])


def test_an_opening_can_be_moved_until_it_is_over(web: Api, event: str) -> None:
    open_in(web, event, 600)
    commitment = draw(web, event)["commitment"]
    assert change(web, event, opensAt=None).status == 200
    opens_at = open_in(web, event, 0.5)
    assert draw(web, event)["commitment"] == commitment

    wait_for(opens_at)
    for other in (moment(600), moment(-600), None):
        refused = change(web, event, opensAt=other, threshold=7)
        assert (refused.status, refused.json) == (
            409,
            {"error": "이미 오픈된 대기열의 오픈 시각은 변경할 수 없습니다."},
        )
    policy = change(web, event, opensAt=opens_at, burst=9).json["policy"]  # the same is no change
    assert (policy["opensAt"], policy["threshold"], policy["burst"]) == (opens_at, 1000, 9)


def test_what_is_no_opening_is_refused_and_changes_nothing(web: Api, event: str, database: Database) -> None:
    assert web.get(f"/queue/draw/{event}").status == 404
    bad = ["tomorrow", "", 12, True, [], {}, "2030-13-01T00:00:00Z", "9999-12-31T23:59:59-23:00"]
    for value in bad:
        refused = change(web, event, opensAt=value, threshold=7)
        assert (refused.status, list(refused.json)) == (400, ["error"]), value
        assert "opensAt" in refused.json["error"]
    # Without a body: the server closes connections on which it has answered before it has read everything.
    assert web.post(f"/queue/admin/policy/{event}", user=new_user()).status == 403
    assert web.post(f"/queue/admin/policy/{event}").status == 401
    assert change(web, NOWHERE, opensAt=moment(60)).status == 404

    assert database.one("SELECT count(*) FROM queue_policies") == 0
    missing = web.get(f"/queue/draw/{event}", headers={"Accept": "application/problem+json"})
    assert (missing.status, missing.json["code"]) == (404, "NO_DRAW")
    assert [web.get(f"/queue/draw/{wrong}").status for wrong in (NOWHERE, "x")] == [404, 400]
    for query in ("participants=all&participants=all", "participants=some", "participants="):
        refused = web.get(f"/queue/draw/{event}?{query}")
        assert (refused.status, list(refused.json)) == (400, ["error"]), query


def test_an_opening_that_was_set_by_other_means_has_a_draw_as_soon_as_anybody_comes(
    web: Api, event: str, database: Database
) -> None:
    database.rows("INSERT INTO queue_policies (event_id, opens_at) VALUES (%s, now() + interval '1 h')", event)
    for user in (new_user(), new_user()):
        found = _of(web.post(f"/queue/check/{event}", user=user))
        assert (found["position"], found["state"]) == (None, "waiting")
    assert re.fullmatch("[0-9a-f]{64}", draw(web, event)["commitment"])


def test_a_person_has_one_lot_however_often_they_come(web: Api, event: str, database: Database) -> None:
    open_in(web, event, 600, threshold=0)
    users = [new_user() for _ in range(10)]
    for user in users:
        check(web, event, user)
    assert check(web, event, users[3])["queueSize"] == 10  # another device
    for user in users[5], users[6]:
        assert web.post(f"/queue/leave/{event}", user=user).status == 200
    assert check(web, event, users[5])["queueSize"] == 9
    assert (
        services.record_draw(event_id=uuid.UUID(event)) == 0
    )  # too early: nothing is recorded, and the seed not shown
    assert draw(web, event)["seed"] is None

    open_now(web, event)
    services.admit_next()
    assert services.record_draw(event_id=uuid.UUID(event)) == 9
    drawn = by_lot(database, event, [user for user in users if user != users[6]])
    assert draw(web, event, "?participants=all")["participants"] == [code_of(event, user) for user in drawn]
    assert [status(web, event, user)["position"] for user in drawn] == list(range(1, 10))
    assert check(web, event, users[6])["position"] == 10  # who is not there at the opening comes later


@pytest.mark.long
def test_lots_survive_a_redis_that_has_lost_everything(event: str, database: Database, redis: Any, logs: Path) -> None:
    with running_web(
        logs / "rebuilding.log", DATABASE_URL=database.url, WEB_WORKERS="1", QUEUE_REBUILD_SECONDS="5"
    ) as web:
        open_in(web, event, 600)
        users = [new_user() for _ in range(12)]
        tickets = {user: check(web, event, user)["ticket"] for user in users}
        assert services.admit_next() == {}

        redis.flushall()
        for user in users[:6]:
            assert status(web, event, user, **{"Queue-Ticket": tickets[user]})["state"] == "waiting"
        open_now(web, event)
        late = new_user()
        assert check(web, event, late)["position"] == 7
        # A caller has the event ticked again, at most a second after it was asked for the last time.
        wait_until(lambda: check(web, event, late) and redis.sismember("queue:events", event), seconds=5)
        assert services.admit_next() == {}  # nobody is let in before the others have had time to come back
        for user in users[6:]:
            assert status(web, event, user, **{"Queue-Ticket": tickets[user]})["isAdmitting"] is False

        drawn = by_lot(database, event, users)
        assert [status(web, event, user)["position"] for user in (*drawn, late)] == list(range(1, 14))
        wait_until(lambda: services.admit_next() == {"admitted": 13}, seconds=20)
        assert services.record_draw(event_id=uuid.UUID(event)) == 12
        assert draw(web, event, "?participants=all")["participants"] == [code_of(event, user) for user in drawn]


def test_a_draw_that_was_published_stays_when_redis_draws_again(web: Api, event: str, redis: Any) -> None:
    """Redis has lost everything, and does not know that it has drawn; of five only two have come back."""
    open_in(web, event, 600, threshold=0)
    users = [new_user() for _ in range(5)]
    tickets = {user: check(web, event, user)["ticket"] for user in users}
    open_now(web, event, threshold=0)
    services.admit_next()
    assert services.record_draw(event_id=uuid.UUID(event)) == 5
    published = draw(web, event, "?participants=all")

    redis.flushall()
    for user in users[:2]:
        assert status(web, event, user, **{"Queue-Ticket": tickets[user]})["state"] == "waiting"
    redis.hset(f"queue:state:{event}", "rebuild_until", 1)  # the time to come back is over
    redis.sadd("queue:events", event)
    services.admit_next()
    assert services.record_draw(event_id=uuid.UUID(event)) == 2
    assert draw(web, event, "?participants=all") == published


# --- Anybody can check it ---------------------------------------------------------------------------------------------


def script_of_the_docs(directory: Path) -> Path:
    text = (ROOT / "docs" / "waiting-room.md").read_text()
    (found,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "queueing" not in found
    path = directory / "check_draw.py"
    path.write_text(found)
    return path


@pytest.mark.long
def test_a_draw_of_10_000_is_recomputed_by_the_script_of_the_docs(
    web: Api, event: str, redis: Any, tmp_path: Path
) -> None:
    open_in(web, event, 600)
    noted = draw(web, event)["commitment"]
    users = [new_user() for _ in range(10_000)]
    for user in users:
        found = services.check_in(
            event_id=uuid.UUID(event),
            visitor=services.identify_visitor(event_id=uuid.UUID(event), user_id=uuid.UUID(user)),
        )
    assert (found.queue.size, found.queue.active) == (10_000, 0)
    open_now(web, event, isPaused=True)
    services.admit_next()
    line = redis.zrange(f"queue:{event}", 0, -1)
    assert services.record_draw(event_id=uuid.UUID(event)) == 10_000
    saved = tmp_path / "draw.json"
    answer = draw(web, event, "?participants=all")
    saved.write_text(json.dumps(answer))
    script = script_of_the_docs(tmp_path)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", script, saved, *arguments], capture_output=True, text=True, check=False
        )

    told = run(noted, line[0], line[-1])
    assert told.stdout.splitlines() == [
        "The draw of 10000 participants is correct.",
        f"{line[0]} was at position 1.",
        f"{line[-1]} was at position 10000.",
    ], told.stderr
    assert sorted(line) == sorted(users)
    assert answer["participants"] == [code_of(event, user) for user in line]

    assert run("00" * 32).returncode == 1
    codes = answer["participants"]
    lots_drawn = [lot_of(answer["seed"], event, user) for user in line]
    closest = min(range(9_999), key=lambda place: lots_drawn[place + 1] - lots_drawn[place])
    swapped = [*codes[:closest], codes[closest + 1], codes[closest], *codes[closest + 2 :]]
    for wrong in (swapped, [*codes[:-1], codes[-2]], codes[:-1]):
        saved.write_text(json.dumps(answer | {"participants": wrong}))
        assert run(noted).returncode == 1
