"""Run the processes of a Procfile side by side, as foreman does."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

STOP_SECONDS = 10
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def read_procfile(path: Path) -> dict[str, str]:
    entries = (line.partition(":") for line in path.read_text().splitlines() if not line.startswith("#"))
    return {name.strip(): command.strip() for name, _, command in entries if command}


class Processes:
    """Started processes by name; `say(name, line)` is called, from threads, with each line that one prints."""

    def __init__(self, say: Callable[[str, str], None]) -> None:
        self._say = say
        self._running: dict[str, subprocess.Popen[str]] = {}

    def start(self, commands: Mapping[str, str], environments: Mapping[str, Mapping[str, str]]) -> None:
        for name, command in commands.items():
            self._running[name] = _spawn(command, environments[name])
        for name in commands:  # after the last fork: forking beside threads is where preexec_fn can hang
            threading.Thread(target=self._copy_output, args=(name,), daemon=True).start()

    def ended(self) -> tuple[str, int] | None:
        """The name and exit code of a process that has ended."""
        codes = ((name, process.poll()) for name, process in self._running.items())
        return next(((name, code) for name, code in codes if code is not None), None)

    def stop(self) -> None:
        """SIGTERM to each process; SIGKILL to what is left of it and its children after `STOP_SECONDS`.

        Not to the children, too: a process tells them when they have finished what they do, and Celery's would die of it.
        """
        for process in self._running.values():
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0, deadline - time.monotonic()))
        for process in self._running.values():
            _kill_group(process)
            process.wait()

    def _copy_output(self, name: str) -> None:
        for line in self._running[name].stdout or ():
            self._say(name, line.rstrip("\n"))


def _spawn(command: str, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - the commands of the Procfile
        ["/bin/sh", "-c", f"exec {command}"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C must reach us only: we stop them in order
        preexec_fn=_end_with_parent,
    )


def _end_with_parent() -> None:
    """If we are killed, nothing else would end the process (Linux only)."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _kill_group(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
