"""A pass or a ticket that is not wholly genuine is worth nothing. Shown after Redis has lost everything: then they count."""

from collections.abc import Callable

import pytest

from tests.support.harness import HALL, THEATRE, Api, Database, new_user, token


@pytest.fixture
def small_room(world: Database) -> Database:
    """One is let in, the others wait."""
    world.rows("INSERT INTO queue_policies (event_id, threshold) VALUES (%s, 1), (%s, 1)", HALL, THEATRE)
    return world


def given(web: Api, user: str, event_id: str = HALL) -> str:
    """The pass or the ticket of who has just come."""
    answer = web.post(f"/queue/check/{event_id}", user=user).json
    return answer.get("pass") or answer["ticket"]


def given_both(web: Api, user: str, event_id: str) -> dict[str, str]:
    """Waits behind somebody else, goes, and comes again when nobody is inside."""
    somebody = new_user()
    given(web, somebody, event_id)
    ticket = given(web, user, event_id)
    for one in (user, somebody):
        assert web.post(f"/queue/leave/{event_id}", user=one).status == 200
    return {"Queue-Ticket": ticket, "Queue-Pass": given(web, user, event_id)}


def with_signature(change: Callable[[str], str]) -> Callable[[str], str]:
    def forge(text: str) -> str:
        says, _, signature = text.partition("~")
        return f"{says}~{change(signature)}"

    return forge


def with_value(text: str) -> str:
    """Valid for a second longer, or a place further behind."""
    says, _, signature = text.partition("~")
    first, value = says.rsplit(".", 1)
    return f"{first}.{int(value) + 1_000_000}~{signature}"


FORGERIES: dict[str, Callable[[str], str]] = {
    "without a signature": with_signature(lambda _: ""),
    "with the first character of it": with_signature(lambda signature: signature[:1]),
    "with half of it": with_signature(lambda signature: signature[:21]),
    "without its last character": with_signature(lambda signature: signature[:-1]),
    "without its first character": with_signature(lambda signature: signature[1:]),
    "with one character more": with_signature(lambda signature: signature + "A"),
    "in the other case": with_signature(str.swapcase),
    "of another value": with_value,
}


@pytest.mark.parametrize(("header", "state"), [("Queue-Pass", "active"), ("Queue-Ticket", "waiting")])
def test_only_what_is_wholly_genuine_is_given_back(
    web: Api, small_room: Database, redis, header: str, state: str
) -> None:
    user = new_user()
    genuine, of_another_event = given_both(web, user, HALL), given_both(web, user, THEATRE)
    redis.flushall()

    def state_of(who: str, proof: str) -> str:
        return web.get(f"/queue/status/{HALL}", user=who, headers={header: proof}).json["state"]

    worthless = {name: forge(genuine[header]) for name, forge in FORGERIES.items()}
    worthless |= {f"a {name}": proof for name, proof in genuine.items() if name != header}
    worthless |= {f"a {name} of another event": proof for name, proof in of_another_event.items()}
    assert {name: state_of(user, proof) for name, proof in worthless.items()} == dict.fromkeys(worthless, "none")
    assert state_of(new_user(), genuine[header]) == "none"
    assert state_of(user, genuine[header]) == state


@pytest.mark.parametrize("header", ["Queue-Pass", "Queue-Ticket"])
def test_what_was_given_before_the_room_was_cleared_is_not_given_back(
    web: Api, small_room: Database, redis, header: str
) -> None:
    """That it was cleared is known to PostgreSQL: Redis has lost that, too."""
    user = new_user()
    genuine = given_both(web, user, HALL)
    administrator = {"Authorization": f"Bearer {token(new_user(), role='admin')}"}
    assert web.post(f"/queue/admin/clear/{HALL}", headers=administrator).status == 200
    redis.flushall()
    answer = web.get(f"/queue/status/{HALL}", user=user, headers={header: genuine[header]})
    assert (answer.status, answer.json["state"]) == (200, "none")
