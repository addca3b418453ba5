"""A token that a client sends in a URL or a header never gets into a log, whatever becomes of the request."""

import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from tests.support import tools
from tests.support.harness import HALL, Database, free_port, running_web, token
from tests.support.live import running_realtime
from tests.support.nginx import running_proxy

pytestmark = pytest.mark.slow

SECRET = token(str(uuid.uuid4())) + "x"  # nearly one
PATHS = ["/nothing", "/", "/events", f"/seats/events/{HALL}", f"/queue/status/{HALL}", "/health", "/health/all", "/metrics",
         "/socket.io/", "/socket.io", "/ws/seats/x", f"/ws/queue/{HALL}", "/admin/", "/%00", "/api-docs"]  # fmt: skip


def ask_everything(port: int) -> None:
    query = f"token={SECRET}&EIO=4&transport=polling"
    headers = {"Authorization": f"Bearer {SECRET}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        for path in PATHS:
            for method in ("GET", "POST", "OPTIONS", "DELETE"):
                client.request(method, f"{path}?{query}", headers=headers, content=b"2" if method == "POST" else None)
        opened = client.get(f"/socket.io/?{query}").text
        if '"sid"' in opened:
            sid = opened.partition('"sid":"')[2].partition('"')[0]
            client.post(f"/socket.io/?{query}&sid={sid}", content='40{"token":"' + SECRET + '"}')
            client.get(f"/socket.io/?{query}&sid={sid}")
            client.post(f"/socket.io/?{query}&sid={sid}", content="rubbish " + SECRET)
    for path in (f"/ws/queue/{HALL}", "/ws/nothing", "/socket.io/"):
        url = f"ws://127.0.0.1:{port}{path}?EIO=4&transport=websocket&token={SECRET}"
        with suppress(ConnectionClosed, InvalidHandshake), connect(url, open_timeout=20) as socket:
            socket.recv(timeout=5)
            socket.send("rubbish " + SECRET)
            socket.recv(timeout=5)


def assert_it_is_not_in(log: Path) -> None:
    lines = [line for line in log.read_text(errors="replace").splitlines() if SECRET in line or "token=" in line]
    assert not lines, lines[:3]


@pytest.mark.long
@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
@pytest.mark.parametrize("running", [running_web, running_realtime])
def test_of_a_process(running: Callable, level: str, tmp_path: Path, database_url: str, world: Database) -> None:
    log = tmp_path / "log"
    with running(log, DATABASE_URL=database_url, LOG_LEVEL=level) as process:
        ask_everything(process.port)
    assert_it_is_not_in(log)


def test_of_the_proxy_though_nobody_is_behind_it(tmp_path: Path) -> None:
    tools.require("nginx")
    nobody = {"web": [free_port()], "realtime": [free_port()]}
    with running_proxy(tmp_path / "proxy", static=tmp_path, **nobody) as proxy:
        ask_everything(proxy.port)
        httpx.post(f"http://127.0.0.1:{proxy.port}/events?token={SECRET}", content=b"x" * 300_000)  # it is too large
    log = tmp_path / "proxy" / "log"
    assert '"status":503' in log.read_text(), "the access log tells of it"
    assert_it_is_not_in(log)
