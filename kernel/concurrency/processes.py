"""Child processes that run side by side and stop together; used by `manage.py worker` and `manage.py run`.

docs/adr/0018 says why this is not honcho.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

STOP_SECONDS = 10
# Asks Linux to send SIGTERM when the parent dies, since nothing else would after a SIGKILL of the parent. The child itself
# does so: a preexec_fn can deadlock when a process is started again while threads run.
_TERMINATE_WITH_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv("/bin/sh", ["/bin/sh", "-c", sys.argv[2]])
"""


class ProcessGroup:
    """Named child processes. `on_line(name, line)` is called, from threads, with each line that a process prints."""

    def __init__(self, on_line: Callable[[str, str], None]) -> None:
        self._on_line = on_line
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def start(self, commands: Mapping[str, str], environments: Mapping[str, Mapping[str, str]]) -> None:
        """Start shell commands, each with its environment, both by name. A name that has ended can be started again."""
        for name, command in commands.items():
            self._processes[name] = _spawn(command, environments[name])
        for name in commands:
            threading.Thread(target=self._forward_output, args=(self._processes[name], name), daemon=True).start()

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

    def _forward_output(self, process: "subprocess.Popen[str]", name: str) -> None:
        for line in process.stdout or ():
            self._on_line(name, line.rstrip("\n"))


def _spawn(command: str, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own commands
        # exec: signals reach the program, not a shell
        [sys.executable, "-S", "-E", "-c", _TERMINATE_WITH_PARENT, str(os.getpid()), f"exec {command}"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C must reach the parent only, which stops its children in order
    )
