"""`manage.py rebuild_search`: makes the index of the search again."""

import time
from typing import Any

from django.core.management.base import BaseCommand

from events.services.searching import rebuild_index

WIDTH = 40


class Command(BaseCommand):
    help = "Makes the index of the search again, for all events. Searches go on meanwhile."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        self._started, self._shown = time.monotonic(), -1
        count = rebuild_index(self._show)
        self.stdout.write(f"{count:,} events in {time.monotonic() - self._started:.1f} s")

    def _show(self, done: int, total: int) -> None:
        """A bar that is drawn over in a terminal; one line for each tenth elsewhere."""
        in_terminal = self.stdout.isatty()
        step = done * (100 if in_terminal else 10) // total
        if step == self._shown:
            return
        self._shown = step
        bar = "#" * (WIDTH * done // total)
        text = f"[{bar:<{WIDTH}}] {done:,} of {total:,} events, {time.monotonic() - self._started:.0f} s"
        self.stdout.write(f"\r{text}" if in_terminal else text, ending="" if in_terminal and done < total else "\n")
