from collections.abc import Iterator

import pytest

from tests.support.harness import Database
from tests.support.subscribers import forget_everything


@pytest.fixture
def world(world: Database) -> Iterator[Database]:
    """Without subscribers, before and after."""
    forget_everything(world)
    yield world
    forget_everything(world)
