"""Subscribers of messages, as an organiser would enter them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import connections

from outbox.models import MessageKind
from tests.support.harness import INTERNAL, Api, Database
from tests.support.webhook_receiver import SECRET

Result = TypeVar("Result")

Told = Callable[[], list[tuple[str, dict[str, Any]]]]
KINDS = [kind.value for kind in MessageKind]


def subscribe(database: Database, *kinds: str, url: str = "", name: str = "subscriber", secret: str = SECRET) -> str:
    """To all kinds, if none is named. Without a URL it reads the feed."""
    return str(
        database.one(
            "INSERT INTO outbox_subscribers (name, url, kinds, secret) VALUES (%s, %s, %s, %s) RETURNING id",
            name, url, list(kinds) or KINDS, secret,
        )
    )  # fmt: skip


def forget_everything(database: Database) -> None:
    database.rows("TRUNCATE outbox_attempts, outbox_deliveries, outbox_messages, outbox_subscribers")


@contextmanager
def subscribed(database: Database, *kinds: str) -> Iterator[None]:
    """The only subscriber reads the feed; neither it nor a message is left at the end."""
    forget_everything(database)
    try:
        subscribe(database, *kinds)
        yield
    finally:
        forget_everything(database)


def read_feed(web: Api, after: str | None = None, limit: int = 1000) -> list[dict[str, Any]]:
    """All of it, page by page."""
    found = []
    while True:
        answer = web.get(
            f"/internal/events?limit={limit}{'' if after is None else f'&after={after}'}", headers=INTERNAL
        )
        assert answer.status == 200, answer.json
        found += answer.json["events"]
        after = answer.json["cursor"]
        if not answer.json["hasMore"]:
            return found


def as_worker(call: Callable[[], Result]) -> Callable[[], Result]:
    """`call`, for a thread of its own: with its connection closed at the end, as Celery does after a task."""

    def run() -> Result:
        try:
            return call()
        finally:
            connections.close_all()

    return run
