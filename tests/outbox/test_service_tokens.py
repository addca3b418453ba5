"""Tokens of other services: each may do what its scopes say, and INTERNAL_API_TOKEN everything."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.harness import HALL, INTERNAL, Api, Database, manage, new_user, running_web, seat

TOKENS = {"confirm": "c" * 24, "refund": "r" * 24, "read-events": "e" * 24, "entry": "n" * 24}
BOTH = "b" * 24
ALLOWED: dict[str, list[str]] = {
    "read-events": ["read-events"],
    "confirm": ["begin", "fail", "confirm"],
    "refund": ["refunds", "settle", "refund"],
    "entry": [],
}


@pytest.fixture(scope="module")
def api(database_url: str, logs: Path) -> Iterator[Api]:
    tokens = [f"{scope}-service:{scope}:{token}" for scope, token in TOKENS.items()] + [f"both:confirm+refund:{BOTH}"]
    with running_web(
        logs / "tokens.log",
        DATABASE_URL=database_url,
        WEB_WORKERS="1",
        MAX_SEATS_PER_RESERVATION="4",
        SERVICE_TOKENS=", ".join(tokens),
    ) as found:
        yield found


def may(api: Api, token: str, reservation: str, event: str) -> dict[str, str]:
    headers = {"X-Internal-Token": token}
    payment = {"amount": 150_000, "paymentMethod": "card", "paymentId": f"pay-{token[:1]}"}
    answers = {
        "read-events": api.get("/internal/events", headers=headers),
        "begin": api.post(f"/internal/reservations/{reservation}/begin-payment", headers=headers),
        "fail": api.post(f"/internal/reservations/{reservation}/fail-payment", headers=headers),
        "confirm": api.post(f"/internal/reservations/{reservation}/confirm", payment, headers=headers),
        "refunds": api.get("/internal/refunds", headers=headers),
        "settle": api.post(f"/internal/refunds/{reservation}/done", headers=headers),
        "refund": api.post(f"/internal/reservations/{reservation}/refund", headers=headers),
        "cancel": api.post(f"/internal/events/{event}/cancel", headers=headers),
    }
    return {name: answer.json.get("code", "") if answer.status == 403 else "may" for name, answer in answers.items()}


def test_each_token_does_what_its_scopes_say(world: Database, api: Api) -> None:
    event = world.add_event()
    reservation = api.reserve(new_user(), HALL, seat(1, 1)).json["reservation"]["id"]
    nothing = dict.fromkeys([*(name for names in ALLOWED.values() for name in names), "cancel"], "SCOPE_MISSING")
    for scope, names in ALLOWED.items():
        assert may(api, TOKENS[scope], reservation, event) == nothing | dict.fromkeys(names, "may"), scope
    of_both = dict.fromkeys([*ALLOWED["confirm"], *ALLOWED["refund"]], "may")
    assert may(api, BOTH, reservation, event) == nothing | of_both
    assert may(api, INTERNAL["X-Internal-Token"], reservation, event) == dict.fromkeys(nothing, "may")
    assert may(api, "unknown", reservation, event) == dict.fromkeys(nothing, "")
    assert may(api, "", reservation, event) == dict.fromkeys(nothing, "")


@pytest.mark.parametrize(
    "value", ["x", "a:confirm", "a:confirm:short", "a:everything:" + "x" * 24, ":confirm:" + "x" * 24, "a::" + "x" * 24]
)
def test_tokens_that_are_none_do_not_start_and_are_not_shown(value: str) -> None:
    done = manage("check", SERVICE_TOKENS=value)
    assert done.returncode != 0
    assert "SERVICE_TOKENS" in done.stderr
    assert "x" * 24 not in done.stderr


def test_networks_that_are_none_do_not_start() -> None:
    done = manage("check", WEBHOOK_ALLOWED_NETWORKS="10.0.0.1/8")
    assert done.returncode != 0
    assert "WEBHOOK_ALLOWED_NETWORKS" in done.stderr
