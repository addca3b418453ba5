"""Progress bars: redrawn in place on a terminal, one line per tenth elsewhere."""

import time
from threading import Lock
from typing import TextIO

WIDTH = 30
REDRAW_SECONDS = 0.1


class ProgressBar:
    """Shows the progress of steps that may run concurrently. A terminal shows the one that reported last."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._is_terminal = out.isatty()
        self._drawn_at = 0.0
        self._tenths: dict[str, int] = {}
        self._lock = Lock()

    def show(self, step: str, done: int, total: int) -> None:
        """`done` of `total` rows. The last call for a step has all of them."""
        with self._lock:
            is_over, now = done >= total, time.monotonic()
            drawn = "#" * (WIDTH if is_over else WIDTH * done // total)
            line = f"{step:<26} {drawn:.<{WIDTH}} {done:>11,} of {total:,}"
            tenth = 10 if is_over else done * 10 // total
            if self._is_terminal and (is_over or now - self._drawn_at > REDRAW_SECONDS):
                self._drawn_at = now
                self._out.write(f"\r{line}\033[K" + ("\n" if is_over else ""))
            elif not self._is_terminal and tenth > self._tenths.get(step, -1):
                self._tenths[step] = tenth
                self._out.write(f"{line}\n")
            self._out.flush()
