"""Deterministic interleavings: one side is held at a row in PostgreSQL until the other side waits, too."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest

from tests.support.harness import Api, Database, wait_until


@contextmanager
def locked_row(world: Database, table: str, row_id: str) -> Iterator[Database]:
    """Somebody else has locked the row until the end of the block."""
    somebody = Database(world.url)
    somebody.rows("BEGIN")
    somebody.rows(f"SELECT FROM {table} WHERE id = %s FOR UPDATE", row_id)
    try:
        yield somebody
    finally:
        somebody.close()


def is_locked(world: Database, table: str, row_id: str) -> bool:
    return not world.rows(f"SELECT id FROM {table} WHERE id = %s FOR UPDATE SKIP LOCKED", row_id)


def waiting_statements(world: Database) -> int:
    return world.one(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )


def one_after_the_other(world: Database, held_at: tuple[str, str], *calls: Callable[[], Any]) -> list[Any]:
    """The calls' results, in their order. `held_at` (table, id) is locked until each call in turn waits, or has ended.

    Rows are given to those who wait for them in the order in which they came.
    """
    begun: list[Future[Any]] = []
    with ThreadPoolExecutor(len(calls)) as threads:
        with locked_row(world, *held_at):
            for call in calls:
                begun.append(threads.submit(in_a_thread, call))
                wait_until(
                    lambda: waiting_statements(world) == sum(not one.done() for one in begun), seconds=4, every=0.01
                )
        return [one.result() for one in begun]


def in_a_thread(call: Callable[[], Any]) -> Any:
    """What the call gives; a database connection of this process goes back to the pool."""
    from django.db import connection

    try:
        return call()
    finally:
        connection.close()


@contextmanager
def changed_statement(
    monkeypatch: pytest.MonkeyPatch, module: str, statement: str, old: str, new: str
) -> Iterator[None]:
    """The statement with a part replaced, which must be there; in this process only."""
    found = import_module(module)
    text = getattr(found, statement)
    assert old in text
    with monkeypatch.context() as patch:
        patch.setattr(found, statement, text.replace(old, new))
        yield


class InProcess(Api):
    """The same API in this process, where a lock can be taken away."""

    def __init__(self) -> None:
        super().__init__(port=0)

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        from django.test import Client

        sent = {name: value for name, value in headers.items() if name not in ("Content-Type", "Content-Length")}
        answer = Client().generic(method, path, body or b"", "application/json", headers=sent)
        return answer.status_code, {name.lower(): value for name, value in answer.items()}, answer.content
