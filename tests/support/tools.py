"""Programs that are no Python packages, for the groups of tests that need them.

A group whose program is missing skips and names it. With `CI` set it fails: .ci/run installs the programs, and lists those
that it cannot have in UNAVAILABLE_TOOLS. `python -m tests.support.tools` installs what npm brings.
"""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The programs that must be found, by the name of what brings them (a package of Debian; npm installs what needs it).
PROGRAMS = {
    "axe": ["node", "npm"],
    "chromium": ["chromium"],
    "nginx": ["nginx"],
    "node": ["node"],
    "pgbouncer": ["pgbouncer"],
    "prometheus": ["prometheus", "promtool"],
    "redis": ["redis-server"],  # 7 or later, beside the 6.2 of requirements-dev.txt
    "socket.io-client": ["node", "npm"],
    "standardwebhooks": ["node", "npm"],
    "typescript": ["node", "npm"],
}
SOCKETIO_SOURCES = ROOT / "tests" / "socketio"
SOCKETIO_MODULES = ROOT / ".local" / "socketio"
WEBHOOKS_SOURCES = ROOT / "tests" / "webhooks"
WEBHOOKS_MODULES = ROOT / ".local" / "webhooks"
TYPESCRIPT_SOURCES = ROOT / "tests" / "typescript"
TYPESCRIPT_MODULES = ROOT / ".local" / "typescript"
AXE_SOURCES = ROOT / "tests" / "axe"
AXE_MODULES = ROOT / ".local" / "axe"


class MissingTool(Exception):
    pass


def require(tool: str) -> None:
    """Skip the test if `tool` is missing; fail it where .ci/run should have installed it."""
    try:
        _provide(tool)
    except MissingTool as reason:
        if os.environ.get("CI") and tool not in os.environ.get("UNAVAILABLE_TOOLS", "").split():
            pytest.fail(f"{reason}, although CI is set", pytrace=False)
        pytest.skip(str(reason))


def _provide(tool: str) -> None:
    if missing := [program for program in PROGRAMS[tool] if shutil.which(program) is None]:
        raise MissingTool(f"{tool} is not installed (no {', '.join(missing)})")
    if tool == "socket.io-client":
        install_socketio_client()
    if tool == "standardwebhooks":
        install_webhooks_client()
    if tool == "typescript":
        install_typescript()
    if tool == "axe":
        install_axe()


def install_socketio_client() -> None:
    _install(SOCKETIO_SOURCES, SOCKETIO_MODULES)


def install_webhooks_client() -> None:
    _install(WEBHOOKS_SOURCES, WEBHOOKS_MODULES)


def install_typescript() -> None:
    _install(TYPESCRIPT_SOURCES, TYPESCRIPT_MODULES)


def install_axe() -> None:
    _install(AXE_SOURCES, AXE_MODULES)


def _install(sources: Path, modules: Path) -> None:
    """By npm, at the versions of the lock; once, also when two test workers ask at the same time."""
    lock = (sources / "package-lock.json").read_text()
    modules.mkdir(parents=True, exist_ok=True)
    installed = modules / "installed.json"
    with (modules / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if installed.exists() and installed.read_text() == lock:
            return
        for name in ("package.json", "package-lock.json"):
            shutil.copy(sources / name, modules)
        try:
            subprocess.run(
                ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0", "--fetch-timeout=10000"],
                cwd=modules, check=True, capture_output=True, text=True, timeout=60, env={**os.environ, "CI": "1"},
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", "") or ""
            raise MissingTool(f"{sources.name} cannot be installed: {error} {said}"[:300]) from error
        installed.write_text(lock)


if __name__ == "__main__":
    install_socketio_client()
    install_webhooks_client()
    install_typescript()
    install_axe()
