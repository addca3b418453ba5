"""Query parameters of the feed, and its pages."""

import re
from typing import Any

from rest_framework.request import Request

from kernel.errors import InvalidInput
from kernel.http.rest import positive_integer, single_parameters
from outbox.selectors import FeedPage

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000


def wanted_messages(request: Request) -> dict[str, Any]:
    """The parameters of `services.read_feed`. Raises InvalidInput."""
    given = single_parameters(request, "after", "limit")
    after = given.get("after")
    if after is not None and not re.fullmatch(r"[0-9]{1,18}", after):
        raise InvalidInput("after is the `cursor` of an earlier response")
    limit = min(positive_integer(given.get("limit", str(DEFAULT_LIMIT)), "limit"), MAX_LIMIT)
    return {"after": None if after is None else int(after), "limit": limit}


def feed(page: FeedPage) -> dict[str, Any]:
    # Text: a client passes it on, and computes nothing with it.
    cursor = None if page.cursor is None else str(page.cursor)
    return {"events": page.messages, "cursor": cursor, "hasMore": page.has_more}
