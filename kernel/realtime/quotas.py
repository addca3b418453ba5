"""Quotas of a connection: how many an address or a user may have in this process, and how much a client may send."""

import logging
import time
from collections import Counter
from typing import Any

from django.conf import settings

from kernel.observability.request_context import current_request_id
from kernel.realtime import metrics
from kernel.realtime.close_codes import INVALID_PAYLOAD, MESSAGE_TOO_BIG, POLICY_VIOLATION, TOO_SLOW

logger = logging.getLogger(__name__)

MAX_FRAME_BYTES = 4096  # from a client
# A token bucket for the frames of a client: so many at once, and so many a second in the long run.
FRAME_BURST, FRAMES_PER_SECOND = 30.0, 5.0
# Of established connections. A refusal is a response to the client, and not worth a log line.
LOGGED_CODES = {INVALID_PAYLOAD, POLICY_VIOLATION, MESSAGE_TOO_BIG, TOO_SLOW}

_connections_by_address: Counter[str] = Counter()
_connections_by_user: Counter[str] = Counter()


class ConnectionQuota:
    """What one connection takes of the quotas, from when it is made until `release`."""

    __slots__ = ("_address", "_log_fields", "_refilled_at", "_tokens", "_users")

    def __init__(self, scope: Any) -> None:
        # The request id is kept, since a connection is often closed by a task that has another one.
        self._log_fields = {"path": scope["path"], "request_id": current_request_id.get()}
        self._address = client_address(scope)
        self._users: tuple[str, ...] = ()  # over Socket.IO each namespace may have a user of its own
        self._tokens, self._refilled_at = FRAME_BURST, time.monotonic()
        _connections_by_address[self._address] += 1

    def exceeds_address_limit(self) -> bool:
        return 0 < settings.WEBSOCKET_MAX_PER_ADDRESS < _connections_by_address[self._address]

    def allow_user(self, user_id: str) -> bool:
        """Counts the connection as one of this user's, once; False if the user has too many."""
        if user_id not in self._users:
            self._users += (user_id,)
            _connections_by_user[user_id] += 1
        return not 0 < settings.WEBSOCKET_MAX_PER_USER < _connections_by_user[user_id]

    def allow_frame(self) -> bool:
        """Counts a frame of the client; False if there were too many."""
        now = time.monotonic()
        self._tokens = min(FRAME_BURST, self._tokens + (now - self._refilled_at) * FRAMES_PER_SECOND) - 1
        self._refilled_at = now
        return self._tokens >= 0

    def record_close(self, code: int, reason: str) -> None:
        """Counts and logs that the server closes the connection."""
        metrics.websocket_closed.labels(code=str(code)).inc()
        if code in LOGGED_CODES:
            logger.info("socket closed: %s", reason, extra={"code": code, **self._log_fields})

    def release(self) -> None:
        """The connection is gone. Call it once."""
        _decrement(_connections_by_address, self._address)
        for user_id in self._users:
            _decrement(_connections_by_user, user_id)


def _decrement(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]


def client_address(scope: Any) -> str:
    """The client's address as far as it can be trusted: each of our proxies has appended one to `X-Forwarded-For`."""
    address = str((scope.get("client") or ("",))[0])
    if settings.TRUSTED_PROXIES > 0:
        headers = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        hops = [hop.strip() for hop in b",".join(headers).decode("latin-1").split(",") if hop.strip()]
        if hops:
            return str(hops[-min(settings.TRUSTED_PROXIES, len(hops))])
    return address
