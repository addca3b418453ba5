"""Celery workers and beats as processes, to be started and killed."""

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from kernel.management.commands.worker import QUEUES
from tests.support.harness import running_process

WORKERS = len(QUEUES)  # processes that `worker` starts


class BackgroundProcesses:
    """Workers and beats, to be started and killed. `environment` is what theirs has beside that of the tests."""

    def __init__(self, stack: ExitStack, logs: Path, **environment: str) -> None:
        self._stack = stack
        self._environment = environment
        self._logs = logs

    def start(self, process: str) -> subprocess.Popen[bytes]:
        schedule = str(self._logs / f"beat-{uuid.uuid4().hex}")
        log = self._logs / f"{process}.log"
        environment = {**self._environment, "BEAT_SCHEDULE": schedule}
        started = self._stack.enter_context(running_process(process, log, **environment))
        self._stack.callback(kill, started)  # at the end, too: nothing may depend on an orderly one
        return started


@contextmanager
def running_background(database_url: str, logs: Path, **environment: str) -> Iterator[BackgroundProcesses]:
    """None at first; those that were started are killed at the end."""
    with ExitStack() as stack:
        yield BackgroundProcesses(stack, logs, DATABASE_URL=database_url, **environment)


def kill(process: subprocess.Popen[bytes]) -> None:
    """kill -9, of the process and of all its children."""
    if process.poll() is None:
        for part in [*psutil.Process(process.pid).children(recursive=True), process]:
            part.kill()
        process.wait()
