"""A program that a group of tests needs: the group skips without it, but not where .ci/run has installed it."""

from pathlib import Path

import pytest

from tests.support import tools


@pytest.fixture(autouse=True)
def nothing_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("UNAVAILABLE_TOOLS", raising=False)


@pytest.mark.parametrize("tool", tools.PROGRAMS)
def test_a_missing_program_skips_and_is_named(tool: str) -> None:
    with pytest.raises(pytest.skip.Exception, match=f"{tool} is not installed"):
        tools.require(tool)


@pytest.mark.parametrize("tool", tools.PROGRAMS)
def test_in_ci_a_missing_program_fails(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("UNAVAILABLE_TOOLS", "another")
    with pytest.raises(pytest.fail.Exception, match="although CI is set"):
        tools.require(tool)


def test_in_ci_a_program_that_cannot_be_had_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("UNAVAILABLE_TOOLS", "prometheus nginx")
    with pytest.raises(pytest.skip.Exception, match="nginx is not installed"):
        tools.require("nginx")


def test_programs_that_are_there_are_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CI", "true")
    for program in tools.PROGRAMS["prometheus"]:
        (tmp_path / program).touch(0o755)
    tools.require("prometheus")


def test_a_client_that_npm_cannot_fetch_skips_with_npm_s_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tools, "SOCKETIO_MODULES", tmp_path / "modules")
    for program, script in {"node": "", "npm": "echo 'no network' >&2; exit 1"}.items():
        (tmp_path / program).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / program).chmod(0o755)
    with pytest.raises(pytest.skip.Exception, match=r"cannot be installed.*no network"):
        tools.require("socket.io-client")
    assert not (tmp_path / "modules" / "installed.json").exists()
