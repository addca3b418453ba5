"""The waiting room as buyers and administrators call it, and its ticks."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from tests.support.harness import HALL, Answer, Api, Database, new_user, token, wait_until

EVENT = UUID(HALL)
ADMIN = "ad000000-0000-4000-8000-000000000001"


def as_admin(api: Api, method: str, path: str, body: Any = None) -> Answer:
    headers = {"Authorization": f"Bearer {token(ADMIN, role='admin')}"}
    return api.call(method, path, body, headers=headers)


def set_policy(api: Api, event_id: str = HALL, **changes: Any) -> dict[str, Any]:
    answer = as_admin(api, "POST", f"/queue/admin/policy/{event_id}", changes)
    assert answer.status == 200, answer.json
    return answer.json["policy"]


def check(api: Api, user: str, event_id: str = HALL, **headers: str) -> dict[str, Any]:
    answer = api.post(f"/queue/check/{event_id}", user=user, headers=headers)
    assert answer.status == 200, answer.json
    return answer.json


def status(api: Api, user: str, event_id: str = HALL, **headers: str) -> dict[str, Any]:
    answer = api.get(f"/queue/status/{event_id}", user=user, headers=headers)
    assert answer.status == 200, answer.json
    return answer.json


def overview(api: Api, event_id: str = HALL) -> tuple[int, int]:
    """How many wait, and how many are inside."""
    answer = as_admin(api, "GET", f"/queue/admin/{event_id}").json
    return answer["queueSize"], answer["currentUsers"]


def tick() -> dict[str, int]:
    from queueing.services import admit_next

    return admit_next()


def states(api: Api, users: list[str], event_id: str = HALL) -> list[str]:
    return [status(api, user, event_id)["state"] for user in users]


def users(count: int) -> list[str]:
    return [new_user() for _ in range(count)]


def store_policy(
    *, threshold: int, world: Database, is_new: bool = False, idle_seconds: int | None = None, **changes: Any
) -> None:
    from queueing import services

    if is_new:
        world.rows(
            "INSERT INTO queue_policies (event_id, threshold, idle_seconds) VALUES (%s, 0, %s)", HALL, idle_seconds
        )
    services.change_policy(event_id=EVENT, changes={"threshold": threshold, **changes})


def tick_hall() -> None:
    from queueing import services, store

    store.activate_event(EVENT)
    services.admit_next()


def tick_until(condition: Callable[[], Any]) -> None:
    """For a while nobody is let in if an earlier test had a crowd here: to our processes Redis has lost it."""

    def has_come() -> Any:
        tick_hall()
        return condition()

    wait_until(has_come, seconds=25, every=0.3)


def wait_in_line(web: Api, *users: str) -> None:
    for place, user in enumerate(users, 1):
        assert web.post(f"/queue/check/{HALL}", user=user).json["position"] == place
