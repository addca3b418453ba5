from collections.abc import Iterator

import pytest

from tests.support.harness import Api, Database
from tests.support.subscribers import Told, forget_everything, read_feed, subscribe


@pytest.fixture
def world(world: Database) -> Iterator[Database]:
    """Without subscribers, before and after."""
    forget_everything(world)
    yield world
    forget_everything(world)


@pytest.fixture
def told(world: Database, web: Api) -> Told:
    """What was recorded since the last call, as `(type, data)`."""
    subscribe(world)
    seen: set[str] = set()

    def new() -> list[tuple[str, dict]]:
        found = [message for message in read_feed(web) if message["id"] not in seen]
        seen.update(message["id"] for message in found)
        return [(message["type"], message["data"]) for message in found]

    return new
