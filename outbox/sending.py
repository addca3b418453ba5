"""Sending one webhook, signed after the Standard Webhooks specification (https://www.standardwebhooks.com)."""

import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from standardwebhooks import Webhook

from kernel.http.untrusted_urls import RequestNotSent, post
from outbox.selectors import message_id, payload

MAX_BYTES = 4096  # of an answer, to be shown in the admin
USER_AGENT = "ticketservice-webhooks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message, where it goes, and the secrets that sign it."""

    delivery_id: int
    attempts: int
    public_id: UUID
    kind: str
    created_at: datetime
    data: dict[str, Any]
    url: str
    secret: str
    previous_secret: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """An attempt: what was sent and when, how long it took, and either a status and an answer or an error."""

    delivery_id: int
    at: datetime
    sent_headers: dict[str, str] = field(default_factory=dict)
    seconds: float
    http_status: int | None = None
    answer: str = ""
    error: str = ""

    @property
    def is_delivered(self) -> bool:
        return self.http_status is not None and 200 <= self.http_status < 300

    def as_row(self) -> dict[str, Any]:
        return {**asdict(self), "is_delivered": self.is_delivered}


def send(webhook: Outgoing) -> AttemptResult:
    """Sends it once. Everything that can go wrong is part of the outcome; anything but a 2xx is a failure."""
    body = orjson.dumps(payload(kind=webhook.kind, at=webhook.created_at, data=webhook.data))
    at = datetime.now(UTC)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        **signed_headers(webhook, body=body, at=at),
    }
    started = time.monotonic()
    try:
        reply = post(
            webhook.url,
            body=body,
            headers=headers,
            seconds=settings.WEBHOOK_TIMEOUT_SECONDS,
            max_bytes=MAX_BYTES,
            allowed_networks=settings.WEBHOOK_ALLOWED_NETWORKS,
        )
    except RequestNotSent as error:
        result: dict[str, Any] = {"error": str(error)[:500]}
    else:
        # PostgreSQL stores no NUL.
        answer = reply.body.decode(errors="replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
        result = {"http_status": reply.status, "answer": answer}
    return AttemptResult(
        delivery_id=webhook.delivery_id,
        at=at,
        sent_headers=headers,
        seconds=time.monotonic() - started,
        **result,
    )


def no_answer(webhook: Outgoing) -> AttemptResult:
    """The outcome of an attempt that has not even ended in time."""
    seconds = settings.WEBHOOK_TIMEOUT_SECONDS
    return AttemptResult(
        delivery_id=webhook.delivery_id, at=datetime.now(UTC), seconds=seconds, error=f"no answer within {seconds:g} s"
    )


def signed_headers(webhook: Outgoing, *, body: bytes, at: datetime) -> dict[str, str]:
    """`webhook-signature` has a signature for each secret that is valid, so that a receiver may know either."""
    number = message_id(webhook.public_id)
    secrets = [webhook.secret, *([webhook.previous_secret] if webhook.previous_secret else [])]
    signatures = [Webhook(secret).sign(number, at, body.decode()) for secret in secrets]
    return {
        "webhook-id": number,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
