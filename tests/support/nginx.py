"""The proxy of deploy/nginx, run by Debian's nginx, and the services of docker-compose.yml as processes."""

import getpass
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from devtools.embedded import is_free
from tests.support.harness import ROOT, Api, free_port, stop, wait_until

NGINX = ROOT / "deploy" / "nginx"
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


def environment_of(service: str) -> dict[str, str]:
    """What docker-compose.yml sets for a service, without addresses and secrets, which are others here."""
    theirs = {"DATABASE_URL", "REDIS_URL", "PORT", "METRICS_PORT", "BEAT_SCHEDULE"}
    given = SERVICES[service]["environment"]
    return {name: value for name, value in given.items() if name not in theirs and "${" not in value}


def servers(ports: Sequence[int]) -> str:
    """As docker-compose.yml writes them, for processes of this machine, which need not be looked up."""
    (line,) = {SERVICES["proxy"]["environment"][name].split(" resolve ")[1] for name in ("WEB", "REALTIME")}
    return " ".join(f"server 127.0.0.1:{port} {line}" for port in ports)


def render(folder: Path, *, port: int, web: Sequence[int], realtime: Sequence[int], static: Path) -> None:
    """The files as the container has them; only names in ${BRACES} are filled in, as nginx's image does."""
    values = {
        "WEB": servers(web),
        "REALTIME": servers(realtime),
        "RESOLVER": "",
        "STATIC_PARENT": str(static),
        "PROXY_PORT": f"127.0.0.1:{port}",
    }
    text = (NGINX / "ticketservice.conf.template").read_text()
    for name, value in values.items():
        assert f"${{{name}}}" in text
        text = text.replace(f"${{{name}}}", value)
    (folder / "conf.d").mkdir(parents=True)
    (folder / "conf.d" / "default.conf").write_text(text)
    shutil.copy(NGINX / "nginx.conf", folder / "nginx.conf")


def nginx(folder: Path, *arguments: str) -> list[str]:
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr", *arguments]


@contextmanager
def running_proxy(folder: Path, **rendered: Any) -> Iterator[Api]:
    port = free_port()
    render(folder, port=port, **rendered)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            nginx(folder, "-g", f"daemon off; user {getpass.getuser()};"),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        api = Api(port)
        wait_until(lambda: process.poll() is not None or not is_free(port), seconds=30)
        assert process.poll() is None, (folder / "log").read_text()
        yield api
    finally:
        stop(process)
