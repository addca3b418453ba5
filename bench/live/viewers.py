"""A crowd of WebSocket clients, `viewers.c`: built when it is first used."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("viewers.c")


def build(directory: Path) -> Path:
    program = directory / "viewers"
    if not program.exists() or program.stat().st_mtime < SOURCE.stat().st_mtime:
        subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-o", str(program), str(SOURCE)], check=True)
    return program


class Viewers:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def begin(self) -> None:
        """Counting starts."""
        self._send("begin")

    def end(self) -> dict[str, Any]:
        """What was received since then: see viewers.c."""
        self._send("end")
        found: dict[str, Any] = json.loads(self._process.stdout.readline())  # type: ignore[union-attr]  # is a pipe
        return found

    def _send(self, word: str) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(f"{word}\n")
            self._process.stdin.flush()


@contextmanager
def viewers(program: Path, *, port: int, path: str, count: int) -> Iterator[Viewers]:
    """So many sockets, open. Raises RuntimeError."""
    command = [str(program), str(port), path, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or process.stdout.readline() != "open\n":
                raise RuntimeError(f"not all of {count} sockets could be opened")
            yield Viewers(process)
        finally:
            process.kill()
