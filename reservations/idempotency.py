"""`Idempotency-Key`: for 24 hours the same request gets the same response, and reserves nothing more."""

# The key and the response are recorded by the very statement that inserts the reservation, so that all is durable or nothing
# is. The response is what the statement has found, since seats, prices and events may change afterwards. A rejection is
# recorded, too, unless the same request may succeed the next time.

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.db import IntegrityError

from kernel.db.sql import fetch_all, fetch_one, violated_constraint
from kernel.errors import DomainError, Kind
from kernel.http.auth import UserNotFound
from kernel.redis.scripts import tagged_key
from queueing.errors import NotAdmitted
from reservations.errors import (
    IdempotencyKeyReused,
    RejectedBefore,
    RequestInProgress,
    SeatRecentlyReleased,
    TicketLimitReached,
    UnpaidTimeUsedUp,
)
from seats.errors import NoSeatsTogether, OrphanSeats, SeatBeingChosen, SeatTakenCached

LIFE = "24 hours"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotentRequest:
    """A request with an Idempotency-Key. Another request with the same key has another `fingerprint`."""

    user_id: UUID
    key: str
    fingerprint: str


def idempotent_request(*, user_id: UUID, key: str, path: str, body: dict[str, Any]) -> IdempotentRequest:
    """`path` names the operation. The members of `body` may come in any order."""
    content = orjson.dumps([path, body], option=orjson.OPT_SORT_KEYS)
    return IdempotentRequest(user_id=user_id, key=key, fingerprint=hashlib.sha256(content).hexdigest())


def request_locks(request: IdempotentRequest | None, *, event_id: UUID) -> dict[str, type[DomainError]]:
    """The lock that says that the request is being processed, for `seats.services.acquire_locks`."""
    if request is None:
        return {}
    # A hash, since the key may be any text.
    name = hashlib.sha256(f"{request.user_id}:{request.key}".encode()).hexdigest()[:32]
    return {tagged_key("lock:request:{}:{}", event_id, name): RequestInProgress}


# --- The statement that reserves --------------------------------------------------------------------------------------

# Its parts: the record of an earlier response, and the record of this one.
EARLIER = f"""earlier AS MATERIALIZED (
    SELECT fingerprint, reservation_id, response, refusal FROM idempotency_keys
    WHERE user_id = %(user_id)s AND key = %(request_key)s::text AND created_at > now() - interval '{LIFE}'
)"""


def recorded(response: str) -> str:
    """`response` is the SQL of what the response is rendered from, as jsonb; `r` is the reservation."""
    return f"""recorded AS (
    INSERT INTO idempotency_keys (user_id, key, fingerprint, reservation_id, response)
    SELECT %(user_id)s, %(request_key)s::text, %(request_fingerprint)s::text, r.id, {response}
    FROM reservation r, verdict v WHERE %(request_key)s::text IS NOT NULL
)"""


EARLIER_RECORD = "(SELECT to_jsonb(earlier) FROM earlier) AS earlier"


class RespondedBefore(Exception):
    """The same request has a response already, by this record; nothing was reserved."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record = record
        super().__init__()


def fetch_reserved(sql: str, parameters: Mapping[str, Any], request: IdempotentRequest | None) -> dict[str, Any]:
    """The row of a statement that has the parts above. One round trip. Raises RespondedBefore, UserNotFound."""
    parameters = {
        **parameters,
        "request_key": request.key if request else None,
        "request_fingerprint": request.fingerprint if request else None,
    }
    try:
        row = fetch_one(sql, parameters)
    except IntegrityError as error:
        match violated_constraint(error):
            case "reservation_user":
                raise UserNotFound from error
            case "idempotency_key_once" if request is not None:
                # The same request was processed at the same moment while Redis was away, or its record has outlived LIFE.
                if (record := _find_record(request)) is not None:
                    raise RespondedBefore(record) from error
                row = fetch_one(sql, parameters)
            case _:
                raise
    if row["earlier"] is not None:
        raise RespondedBefore(row["earlier"])
    return row


# --- Earlier responses ------------------------------------------------------------------------------------------------

# The same request may succeed the next time, or its first response may be another one.
_TRANSIENT = (
    SeatBeingChosen,
    SeatTakenCached,
    NotAdmitted,
    TicketLimitReached,
    SeatRecentlyReleased,
    UnpaidTimeUsedUp,
    OrphanSeats,
    NoSeatsTogether,
)
# Kinds of rejections that stay.
_FINAL = (Kind.INVALID, Kind.NOT_FOUND)


def earlier_response(request: IdempotentRequest | None, outcome: Exception) -> dict[str, Any]:
    """What the same request reserved before it has now ended in `outcome`: `reservation_id`, and its response.

    Raises `outcome` if this is the first such request, and records it unless it is transient. Raises RejectedBefore,
    or IdempotencyKeyReused if the key belongs to another request.
    """
    record: Mapping[str, Any] | None = None
    if request is None:
        raise outcome
    if isinstance(outcome, RespondedBefore):
        record = outcome.record
    elif isinstance(outcome, _TRANSIENT):
        record = _find_record(request)
    elif isinstance(outcome, DomainError) and outcome.kind in _FINAL:
        record = _record_rejection(request, outcome)
    if record is None:
        raise outcome
    if record["fingerprint"] != request.fingerprint:
        raise IdempotencyKeyReused
    if record["refusal"] is not None:
        raise RejectedBefore(record["refusal"])
    return {**record["response"], "reservation_id": UUID(str(record["reservation_id"]))}


_FIND_RECORD = f"""
WITH outlived AS (
    DELETE FROM idempotency_keys
    WHERE user_id = %(user_id)s AND key = %(key)s AND created_at <= now() - interval '{LIFE}'
)
SELECT fingerprint, reservation_id, response, refusal FROM idempotency_keys
WHERE user_id = %(user_id)s AND key = %(key)s AND created_at > now() - interval '{LIFE}'
"""

# Returns what was recorded first, also by a request of the same moment, which a SELECT would not see.
_RECORD_REJECTION = f"""
INSERT INTO idempotency_keys (user_id, key, fingerprint, refusal)
VALUES (%(user_id)s, %(key)s, %(fingerprint)s, %(refusal)s::jsonb)
ON CONFLICT (user_id, key) DO UPDATE SET key = excluded.key
RETURNING fingerprint, reservation_id, response, refusal, created_at <= now() - interval '{LIFE}' AS has_outlived
"""


def _find_record(request: IdempotentRequest) -> dict[str, Any] | None:
    """The record of the request, if there is one. Deletes one that has outlived LIFE."""
    rows = fetch_all(_FIND_RECORD, {"user_id": request.user_id, "key": request.key})
    return rows[0] if rows else None


def _record_rejection(request: IdempotentRequest, rejection: DomainError) -> dict[str, Any] | None:
    """Records the rejection, or returns the record of the same request if that has got a response meanwhile."""
    row = fetch_one(
        _RECORD_REJECTION,
        {
            "user_id": request.user_id,
            "key": request.key,
            "fingerprint": request.fingerprint,
            "refusal": orjson.dumps(RejectedBefore.record(rejection)).decode(),
        },
    )
    return None if row["has_outlived"] else row


# --- Purging ----------------------------------------------------------------------------------------------------------

_PURGE = f"""
WITH purged AS (
    DELETE FROM idempotency_keys WHERE id IN (
        SELECT id FROM idempotency_keys WHERE created_at <= now() - interval '{LIFE}' ORDER BY created_at LIMIT %(limit)s
    ) RETURNING 1
)
SELECT count(*) AS purged FROM purged
"""


def purge(*, limit: int) -> int:
    """Deletes up to `limit` keys that have outlived LIFE, the oldest first. Returns how many."""
    purged: int = fetch_one(_PURGE, {"limit": limit})["purged"]
    return purged
