"""Quotas of a connection: how many an address or a user may have in this process, and how much a client may send."""

import logging
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from django.conf import settings

from kernel.concurrency.threads import run_in_thread
from kernel.errors import Unavailable
from kernel.http import addresses
from kernel.http.auth import InvalidToken, User, UserNotFound, verify_from
from kernel.observability.request_context import current_request_id
from kernel.realtime import metrics
from kernel.realtime.close_codes import INVALID_PAYLOAD, MESSAGE_TOO_BIG, POLICY_VIOLATION, TOO_SLOW
from kernel.redis.rate_limits import RateLimit

logger = logging.getLogger(__name__)

MAX_FRAME_BYTES = 4096  # from a client
# A token bucket for the frames of a client: so many at once, and so many a second in the long run.
FRAME_BURST, FRAMES_PER_SECOND = 30.0, 5.0
# Of established connections. A refusal is a response to the client, and not worth a log line.
LOGGED_CODES = {INVALID_PAYLOAD, POLICY_VIOLATION, MESSAGE_TOO_BIG, TOO_SLOW}

# How often sockets are opened, counted in Redis for all processes. Of an address: those that come without a valid token.
SOCKETS = RateLimit("sockets", "RATE_LIMIT_SOCKETS")
SOCKETS_BY_ADDRESS = RateLimit("sockets-per-address", "RATE_LIMIT_SOCKETS_PER_ADDRESS")

_connections_by_address: Counter[str] = Counter()
_connections_by_user: Counter[str] = Counter()


class ConnectionQuota:
    """What one connection takes of the quotas, from when it is made until `release`."""

    __slots__ = ("_log_fields", "_refilled_at", "_tokens", "_users", "network")

    def __init__(self, scope: Any) -> None:
        # The request id is kept, since a connection is often closed by a task that has another one.
        self._log_fields = {"path": scope["path"], "request_id": current_request_id.get()}
        self.network = addresses.network_of(client_address(scope))
        self._users: tuple[str, ...] = ()  # over Socket.IO each namespace may have a user of its own
        self._tokens, self._refilled_at = FRAME_BURST, time.monotonic()
        _connections_by_address[self.network] += 1

    def exceeds_address_limit(self) -> bool:
        return 0 < settings.WEBSOCKET_MAX_PER_ADDRESS < _connections_by_address[self.network]

    def allow_user(self, user_id: str) -> bool:
        """Counts the connection as one of this user's, once; False if the user has too many."""
        if user_id not in self._users:
            self._users += (user_id,)
            _connections_by_user[user_id] += 1
        return not 0 < settings.WEBSOCKET_MAX_PER_USER < _connections_by_user[user_id]

    async def identify(self, token: str) -> User:
        """The user of a token, for whom a socket is opened. Raises what `kernel.http.auth.verify_from` does, RateLimited."""
        return await run_in_thread(self._identify, token)

    def _identify(self, token: str) -> User:
        user = verify_from(token, lambda: self.network)
        SOCKETS.spend(user.user_id)
        return user

    async def admit_visitor(self, token: str) -> None:
        """Counts the opening of a socket that needs no token: of the user if there is a valid one, else of the address.

        Raises RateLimited.
        """
        await run_in_thread(self._admit_visitor, token)

    def _admit_visitor(self, token: str) -> None:
        if token:
            with suppress(InvalidToken, UserNotFound, Unavailable):
                self._identify(token)
                return
        SOCKETS_BY_ADDRESS.spend(self.network)

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
        _decrement(_connections_by_address, self.network)
        for user_id in self._users:
            _decrement(_connections_by_user, user_id)


def _decrement(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]


def client_address(scope: Any) -> str:
    """The client's address as far as it can be trusted."""
    peer = str((scope.get("client") or ("",))[0])
    forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return addresses.client_address(peer, forwarded)
