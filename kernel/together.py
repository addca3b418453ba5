"""One question to the database for all who ask at the same moment."""

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key")
Found = TypeVar("Found")


class _Batch(Generic[Key, Found]):
    def __init__(self) -> None:
        self.keys: set[Key] = set()
        self.found: Mapping[Key, Found] | None = None
        self.error: BaseException | None = None


class Together(Generic[Key, Found]):
    """Looks keys up for many threads: while one asks the database, the others gather what is to be asked next.

    Whoever asks is answered by a look that begins after the call, so an answer is as new as if each had looked. At once
    there is one look; nobody who is alone waits.
    """

    def __init__(self, look_up: Callable[[list[Key]], Mapping[Key, Found]]) -> None:
        self._look_up = look_up
        self._next: _Batch[Key, Found] = _Batch()
        self._gathering = Lock()
        self._looking = Lock()

    def get(self, key: Key) -> Found | None:
        """None if it was not found. Raises what the look has raised, for all who took part."""
        with self._gathering:
            batch = self._next
            batch.keys.add(key)
        with self._looking:
            if batch.found is None and batch.error is None:
                with self._gathering:
                    self._next = _Batch()
                try:
                    batch.found = self._look_up(list(batch.keys))
                except BaseException as error:
                    batch.error = error
                    raise
        if batch.error is not None:
            raise batch.error
        return (batch.found or {}).get(key)
