"""Cloudflare Turnstile, and services that verify as it does (`siteverify`, such as hCaptcha's and reCAPTCHA's)."""

from functools import cache
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
from django.conf import settings
from urllib3.exceptions import HTTPError

from kernel.concurrency.circuit_breaker import BreakerOpen, CircuitBreaker
from kernel.concurrency.slots import NoSlot, Slots
from kernel.http.upstream import NoAnswer, post
from queueing.errors import ChallengeUnavailable

ACTION = "join-queue"
PATIENCE = 0.25  # seconds for which a thread waits until another one has its answer

_breaker = CircuitBreaker(failure_threshold=3, reset_timeout=2.0, failure_types=(HTTPError, NoAnswer))


class Turnstile:
    """The service accepts a token once, within five minutes; it is bound to user and event where `cdata` is returned."""

    def parameters(self) -> dict[str, Any]:
        return {"type": "turnstile", "siteKey": settings.TURNSTILE_SITE_KEY, "action": ACTION}

    def issue(self, *, event_id: UUID, user_id: UUID) -> dict[str, Any]:
        return {"siteKey": settings.TURNSTILE_SITE_KEY, "action": ACTION, "cData": _cdata(event_id, user_id)}

    def is_solved(self, response: str, *, event_id: UUID, user_id: UUID, address: str) -> bool:
        form = {"secret": settings.TURNSTILE_SECRET_KEY, "response": response, "remoteip": address}
        try:
            with _slots(), _breaker:
                reply = _read(_verify(form))
        except (NoSlot, BreakerOpen, HTTPError, NoAnswer) as error:
            raise ChallengeUnavailable from error
        expected = {"action": ACTION, "cdata": _cdata(event_id, user_id)}
        return reply.get("success") is True and all(reply.get(name) in (None, "", expected[name]) for name in expected)


def _verify(form: dict[str, str]) -> bytes:
    body = urlencode(form).encode()
    content_type = "application/x-www-form-urlencoded"
    return post(settings.TURNSTILE_VERIFY_URL, body, content_type=content_type, statuses=(200, 400))[1]


def _read(body: bytes) -> dict[str, Any]:
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NoAnswer from error
    if not isinstance(reply, dict) or "success" not in reply:
        raise NoAnswer
    if {"missing-input-secret", "invalid-input-secret"} & set(reply.get("error-codes") or ()):
        raise NoAnswer("TURNSTILE_SECRET_KEY is wrong")
    return reply


@cache
def _slots() -> Slots:
    # Half of the threads of `web` never wait for it: whoever is in the queue already is served meanwhile.
    return Slots(max(1, settings.WEB_THREADS // 2), patience=PATIENCE)


def _cdata(event_id: UUID, user_id: UUID) -> str:
    return f"{event_id}_{user_id}"
