"""The recorded requests of the old service, played against the `web` process, with an Auth Service that knows the users."""

import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract import replay
from tests.support.harness import CONTRACT, running_web

CASES = [case for path in sorted((CONTRACT / "cases").glob("*.json")) for case in json.loads(path.read_text())]


@pytest.fixture(scope="module")
def player(database_url: str, logs: Path) -> Iterator[replay.Player]:
    auth_service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), replay.AuthService)
    threading.Thread(target=auth_service.serve_forever, daemon=True).start()
    auth_url = f"http://127.0.0.1:{auth_service.server_port}"
    environment = {"DATABASE_URL": database_url, "AUTH_SERVICE_URL": auth_url, "MAX_SEATS_PER_RESERVATION": "1"}
    with running_web(logs / "contract-web.log", WEB_WORKERS="1", **environment) as api:
        found = replay.Player(
            f"http://127.0.0.1:{api.port}/api", database_url, os.environ["REDIS_URL"], "ticket_schema, public"
        )
        yield found
        found.db.close()
    auth_service.shutdown()
    auth_service.server_close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_answers_as_recorded(player: replay.Player, case: dict[str, Any]) -> None:
    assert player.play(case) == []
