"""Processes with production's settings, and nothing else in the environment."""

import os
import secrets
import subprocess
import sys

from tests.support.harness import ROOT

PRODUCTION = {
    "DATABASE_URL": "postgresql://ticketservice@127.0.0.1:1/ticketservice",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "DEBUG": "false",
    "SECRET_KEY": secrets.token_urlsafe(48),
    "JWT_SECRET": secrets.token_urlsafe(48),
    "INTERNAL_API_TOKEN": secrets.token_urlsafe(48),
    "ALLOWED_HOSTS": "example.org",
}


def start(without: tuple[str, ...] = (), **changed: str) -> subprocess.CompletedProcess[str]:
    """Starts as `web` does."""
    return python("-c", "import ticketservice.wsgi", without=without, **changed)


def python(*arguments: str, without: tuple[str, ...] = (), **changed: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in {**PRODUCTION, **changed}.items() if name not in without}
    environment["PATH"] = os.environ["PATH"]
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)


def last_line(process: subprocess.CompletedProcess[str]) -> str:
    return process.stderr.strip().splitlines()[-1]
