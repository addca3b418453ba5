"""The call to the Auth Service, with limits for its whole duration, its size, and the threads that wait for it."""

from functools import cache

import orjson
from django.conf import settings
from urllib3.exceptions import HTTPError

from kernel.concurrency.circuit_breaker import BreakerOpen, CircuitBreaker
from kernel.concurrency.slots import NoSlot, Slots
from kernel.http.upstream import NoAnswer, post

STATUSES = (200, 400, 401, 403, 404)  # those that say something about the token
PATIENCE = 0.25  # seconds


_breaker = CircuitBreaker(failure_threshold=3, reset_timeout=2.0, failure_types=(HTTPError, NoAnswer))


def post_token(token: str) -> tuple[int, bytes]:
    """POST /auth/verify-token, and return status (one of STATUSES) and body. Raises NoAnswer."""
    try:
        with _slots(), _breaker:
            url, body = f"{settings.AUTH_SERVICE_URL}/auth/verify-token", orjson.dumps({"token": token})
            return post(url, body, content_type="application/json", statuses=STATUSES)
    except (NoSlot, BreakerOpen, HTTPError) as error:
        raise NoAnswer from error


@cache
def _slots() -> Slots:
    # A quarter of the threads of `web` never waits for the Auth Service: requests without a token are served meanwhile.
    return Slots(max(1, settings.WEB_THREADS * 3 // 4), patience=PATIENCE)
