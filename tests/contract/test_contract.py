"""The recorded requests of the old service, played against the `web` process, with an Auth Service that knows the users."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract import replay
from tests.support.harness import CONTRACT, running_web
from tests.support.http_server import serving_http

CASES = [case for path in sorted((CONTRACT / "cases").glob("*.json")) for case in json.loads(path.read_text())]


@pytest.fixture(scope="module")
def player(database_url: str, logs: Path) -> Iterator[replay.Player]:
    with (
        serving_http(replay.AuthService) as auth_service,
        running_web(
            logs / "contract-web.log",
            WEB_WORKERS="1",
            DATABASE_URL=database_url,
            AUTH_SERVICE_URL=f"http://127.0.0.1:{auth_service.server_port}",
            MAX_SEATS_PER_RESERVATION="1",
        ) as api,
    ):
        found = replay.Player(
            f"http://127.0.0.1:{api.port}/api", database_url, os.environ["REDIS_URL"], "ticket_schema, public"
        )
        yield found
        found.db.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_answers_as_recorded(player: replay.Player, case: dict[str, Any]) -> None:
    assert player.play(case) == []
