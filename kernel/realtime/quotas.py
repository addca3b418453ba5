"""How many connections an address or a user may have to this process, how much a client may say, and who was sent away."""

import logging
import time
from collections import Counter
from typing import Any

from django.conf import settings

from kernel.observability.request_context import current_request_id
from kernel.realtime import metrics

logger = logging.getLogger(__name__)

MAX_FRAME = 4096  # bytes, from a client
BURST, PER_SECOND = 30.0, 5.0  # frames from a client
# Of what was open and well; refusals are answers, not log lines. Rubbish, floods, too big, too slow.
WORTH_A_LINE = {1007, 1008, 1009, 4408}

_addresses: Counter[str] = Counter()
_users: Counter[str] = Counter()


class Guest:
    """A connection as it counts, from its making until it leaves."""

    __slots__ = ("_address", "_allowance", "_facts", "_heard", "_users")

    def __init__(self, scope: Any) -> None:
        self._facts = {"path": scope["path"], "request_id": current_request_id.get()}
        self._address = _address(scope)
        self._users: tuple[str, ...] = ()
        self._allowance, self._heard = BURST, time.monotonic()
        _addresses[self._address] += 1

    def is_one_too_many(self) -> bool:
        """Of its address."""
        return 0 < settings.WEBSOCKET_MAX_PER_ADDRESS < _addresses[self._address]

    def may_be(self, user_id: str) -> bool:
        """Counts it as this user's; False if that is one too many."""
        if user_id not in self._users:
            self._users += (user_id,)
            _users[user_id] += 1
        return not 0 < settings.WEBSOCKET_MAX_PER_USER < _users[user_id]

    def may_speak(self) -> bool:
        """Counts a frame; False if they are too many."""
        now = time.monotonic()
        self._allowance = min(BURST, self._allowance + (now - self._heard) * PER_SECOND) - 1
        self._heard = now
        return self._allowance >= 0

    def is_sent_away(self, code: int, reason: str) -> None:
        """Counts it. In the log it has the id with which it came: who closes it is often somebody else."""
        metrics.websocket_closed.labels(code=str(code)).inc()
        if code in WORTH_A_LINE:
            logger.info("socket closed: %s", reason, extra={"code": code, **self._facts})

    def leave(self) -> None:
        for counted, what in ((_addresses, self._address), *((_users, user) for user in self._users)):
            counted[what] -= 1
            if counted[what] <= 0:
                del counted[what]


def _address(scope: Any) -> str:
    """Where the client is, as far as it can be trusted: each proxy of ours has added one to X-Forwarded-For."""
    address = str((scope.get("client") or ("",))[0])
    if settings.TRUSTED_PROXIES > 0:
        headers = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        hops = [hop.strip() for hop in b",".join(headers).decode("latin-1").split(",") if hop.strip()]
        if hops:
            return str(hops[-min(settings.TRUSTED_PROXIES, len(hops))])
    return address
