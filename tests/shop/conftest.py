from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import tools
from tests.support.harness import HALL, STANDING, THEATRE, Database
from tests.support.shop import Shop, Visitor, chromium, running_shop, ticking


@pytest.fixture(scope="module")
def shop(database_url: str, logs: Path) -> Iterator[Shop]:
    """The shop with demo buyers."""
    with running_shop(logs, DATABASE_URL=database_url) as shop:
        yield shop


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    tools.require("chromium")
    with chromium() as browser:
        yield browser


@pytest.fixture
def sale(world: Database) -> Iterator[Database]:
    """The catalogue, with admissions and sweeps going on."""
    world.settle()
    world.rows("UPDATE events SET max_seats_per_reservation = 4, max_tickets_per_buyer = 10")
    with ticking(HALL, STANDING, THEATRE):
        yield world


@pytest.fixture
def visitor(browser: Any, shop: Shop) -> Iterator[Callable[..., Visitor]]:
    """Somebody with a browser of their own; as many as are asked for."""
    visitors: list[Visitor] = []

    def come(**options: Any) -> Visitor:
        visitors.append(Visitor(browser, shop, **options))
        return visitors[-1]

    yield come
    for each in visitors:
        each.close()
