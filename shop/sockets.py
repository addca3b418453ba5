"""The queue's socket for the shop's own pages, at /shop/ws/queue/<eventId>: the cookie becomes the bearer token."""

from typing import Any
from urllib.parse import parse_qs, urlencode

from shop import cookies, origins

Consumer = Any


class CookieSocket:
    """ASGI middleware. A socket that no page of this service has opened is refused with 403, before it is accepted."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if not origins.may_open_socket(headers.get(b"origin", ""), headers.get(b"host", "")):
            await receive()
            await send({"type": "websocket.close"})
            return
        # Only the number of a demo buyer is taken from the address: a token in it would be somebody else's choice.
        buyer = parse_qs(scope["query_string"].decode("latin-1")).get("buyer", [""])[0]
        token, _ = cookies.token_in(headers.get(b"cookie", ""), buyer=buyer)
        bare = {**scope, "query_string": urlencode({"token": token}).encode(), "subprotocols": []}
        await self._consumer(bare, receive, send)
