"""Child processes that run side by side and stop together; used by `manage.py worker` and `manage.py run`.

docs/adr/0018 says why this is not honcho.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

STOP_SECONDS = 10
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class ProcessGroup:
    """Named child processes. `on_line(name, line)` is called, from threads, with each line that a process prints."""

    def __init__(self, on_line: Callable[[str, str], None]) -> None:
        self._on_line = on_line
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def start(self, commands: Mapping[str, str], environments: Mapping[str, Mapping[str, str]]) -> None:
        """Start shell commands, each with its environment, both by name."""
        for name, command in commands.items():
            self._processes[name] = _spawn(command, environments[name])
        for name in commands:  # after the last fork: with other threads running, preexec_fn can deadlock
            threading.Thread(target=self._forward_output, args=(name,), daemon=True).start()

    def first_exit(self) -> tuple[str, int] | None:
        """Return the name and exit code of a process that has ended, or None while all are running."""
        codes = ((name, process.poll()) for name, process in self._processes.items())
        return next(((name, code) for name, code in codes if code is not None), None)

    def stop(self) -> None:
        """Send SIGTERM to each process; after STOP_SECONDS, SIGKILL to those left and to all their children."""
        # SIGTERM goes to the processes only, not to their groups: they stop their own children when those have
        # finished their work, and Celery's prefork children would die of the signal at once.
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0, deadline - time.monotonic()))
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _forward_output(self, name: str) -> None:
        for line in self._processes[name].stdout or ():
            self._on_line(name, line.rstrip("\n"))


def _spawn(command: str, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own commands
        ["/bin/sh", "-c", f"exec {command}"],  # exec: signals reach the program, not a shell
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C must reach the parent only, which stops its children in order
        preexec_fn=_terminate_with_parent,
    )


def _terminate_with_parent() -> None:
    """Ask Linux to send SIGTERM when the parent dies. After a SIGKILL of the parent, nothing else would."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
