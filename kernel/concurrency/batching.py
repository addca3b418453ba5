"""Questions that many threads have at the same moment, asked at once."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

Question = TypeVar("Question")
Reply = TypeVar("Reply")


class _Batch(Generic[Question, Reply]):
    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.replies: Sequence[Reply] = ()
        self.error: BaseException | None = None
        self.is_over = Lock()  # held by the first one, who asks for all


class Batcher(Generic[Question, Reply]):
    """Asks for many threads: while one waits for replies, the others gather what is to be asked next.

    `ask_all` gives a reply for each question, in their order. It begins after each of its questions was put, so a reply is
    as new as if everybody had asked alone. It runs once at a time; nobody who is alone waits.
    """

    def __init__(self, ask_all: Callable[[list[Question]], Sequence[Reply]]) -> None:
        self._ask_all = ask_all
        self._next: _Batch[Question, Reply] = _Batch()
        self._gathering = Lock()
        self._asking = Lock()

    def ask(self, question: Question) -> Reply:
        """Raises what asking has raised, for all who took part."""
        with self._gathering:
            batch = self._next
            place = len(batch.questions)
            batch.questions.append(question)
            if place == 0:
                batch.is_over.acquire()
        if place == 0:
            self._ask_for_all(batch)
        else:
            with batch.is_over:
                pass
        if batch.error is not None:
            raise batch.error
        return batch.replies[place]

    def _ask_for_all(self, batch: _Batch[Question, Reply]) -> None:
        try:
            with self._asking:
                with self._gathering:
                    self._next = _Batch()
                batch.replies = self._ask_all(batch.questions)
        except BaseException as error:  # noqa: BLE001 - raised by `ask`
            batch.error = error
        finally:
            batch.is_over.release()
