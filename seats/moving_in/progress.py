"""A progress bar: redrawn in place on a terminal, a line for every tenth of the way elsewhere."""

import time
from typing import TextIO

WIDTH = 30
REDRAW_SECONDS = 0.1


class Progress:
    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._is_terminal = out.isatty()
        self._drawn_at = 0.0
        self._tenth = -1

    def show(self, what: str, done: int, total: int) -> None:
        """`done` of `total` rows. The last call for `what` has all of them."""
        is_over = done >= total
        tenth = 10 if is_over else done * 10 // total
        drawn = "#" * (WIDTH if is_over else WIDTH * done // total)
        line = f"{what:<26} {drawn:.<{WIDTH}} {done:>11,} of {total:,}"
        if self._is_terminal:
            now = time.monotonic()
            if is_over or now - self._drawn_at > REDRAW_SECONDS:
                self._drawn_at = now
                self._out.write(f"\r{line}" + ("\n" if is_over else ""))
        elif is_over or tenth > self._tenth:
            self._out.write(f"{line}\n")
        self._out.flush()
        self._tenth = -1 if is_over else tenth
