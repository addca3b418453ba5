"""Reads of the feed."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from kernel.db.sql import fetch_all, fetch_one
from kernel.wire import timestamp
from outbox.errors import CursorGone

KEPT_DAYS = 7

# The message of the cursor itself must still be there, or messages after it may not be.
_PAGE = """
SELECT public_id, kind, created_at, data, position FROM outbox_messages
WHERE position > %(after)s ORDER BY position LIMIT %(limit)s
"""
_IS_KEPT = "SELECT EXISTS (SELECT FROM outbox_messages WHERE position = %(after)s) AS is_kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPage:
    """Messages in the order of their positions; `cursor` is the position of the last one that the reader has then."""

    messages: list[dict[str, Any]]
    cursor: int | None
    has_more: bool


def feed_page(*, after: int | None, limit: int) -> FeedPage:
    """The numbered messages after a position; without one, from the oldest that is kept. Raises CursorGone."""
    found = fetch_all(_PAGE, {"after": after or 0, "limit": limit + 1})
    # After the page was read: a message that is purged in between is one of the page, or older than the cursor's.
    if after is not None and not fetch_one(_IS_KEPT, {"after": after})["is_kept"]:
        raise CursorGone
    rows = found[:limit]
    return FeedPage(
        messages=[
            {"id": message_id(row["public_id"]), **payload(kind=row["kind"], at=row["created_at"], data=row["data"])}
            for row in rows
        ],
        cursor=rows[-1]["position"] if rows else after,
        has_more=len(found) > limit,
    )


def payload(*, kind: str, at: Any, data: dict[str, Any]) -> dict[str, Any]:
    """The body of a webhook, as the Standard Webhooks specification recommends it."""
    return {"type": kind, "timestamp": timestamp(at), "data": data}


def message_id(public_id: UUID) -> str:
    """The header `webhook-id`, and `id` in the feed: the same for every attempt and every reader."""
    return f"msg_{public_id.hex}"
