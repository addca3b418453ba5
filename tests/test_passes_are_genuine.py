"""A pass or a ticket that is not wholly genuine is worth nothing. Shown after Redis has lost everything: then they count."""

from collections.abc import Callable

import pytest

from tests.harness import HALL, THEATRE, Api, Database, new_user


@pytest.fixture
def small_room(world: Database) -> Database:
    """One is let in, the others wait."""
    world.rows("INSERT INTO queue_policies (event_id, threshold) VALUES (%s, 1), (%s, 1)", HALL, THEATRE)
    return world


def given(web: Api, user: str, event_id: str = HALL) -> str:
    """The pass or the ticket of who has just come."""
    answer = web.post(f"/queue/check/{event_id}", user=user).json
    return answer.get("pass") or answer["ticket"]


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
    inside, waiting = new_user(), new_user()
    proofs = {"Queue-Pass": given(web, inside), "Queue-Ticket": given(web, waiting)}
    user, other = (inside, waiting) if header == "Queue-Pass" else (waiting, inside)
    genuine = proofs.pop(header)
    (of_another_kind,) = proofs.values()
    if header == "Queue-Ticket":
        given(web, other, THEATRE)  # takes the place, so that the next one waits
    of_another_event = given(web, user, THEATRE)
    redis.flushall()

    def state_of(who: str, proof: str) -> str:
        return web.get(f"/queue/status/{HALL}", user=who, headers={header: proof}).json["state"]

    worthless = {name: forge(genuine) for name, forge in FORGERIES.items()}
    worthless |= {"of another kind": of_another_kind, "of another event": of_another_event}
    assert {name: state_of(user, proof) for name, proof in worthless.items()} == dict.fromkeys(worthless, "none")
    assert state_of(other, genuine) == "none"
    assert state_of(user, genuine) == state
