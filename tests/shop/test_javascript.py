"""The client in JavaScript against a scripted server, by node's own test runner; and the types of all that is served."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.tools import ROOT, TYPESCRIPT_MODULES, TYPESCRIPT_SOURCES

SOURCES = ("shop/static/shop/client", "seats/static/seats", "tests/shop/client")


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.tool("node")
@pytest.mark.parametrize("name", ["requests", "seat-map", "queue", "seats"])
def test_the_client_does_what_its_tests_say(name: str, tmp_path: Path) -> None:
    for folder in SOURCES:  # beside a package.json, without which node takes them for scripts
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    # Node 20 has WebSockets only on demand; later ones have them anyway, and take the option, too.
    command = ["node", "--experimental-websocket", "--test", f"tests/shop/client/{name}.test.js"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
@pytest.mark.tool("typescript")
def test_the_types_of_what_is_served_are_right() -> None:
    compiler = TYPESCRIPT_MODULES / "node_modules" / ".bin" / "tsc"
    result = subprocess.run([compiler, "--project", TYPESCRIPT_SOURCES], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
