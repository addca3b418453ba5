"""`Idempotency-Key`: the same request again gets the same answer, and sells nothing more, for 24 hours.

The key is written by the very statement that makes the reservation, so there is no moment at which one is durable and the
other is not. The answer itself is not stored: it is made again from the reservation. Refusals by the work are stored, too;
those before it, and "somebody is choosing it right now", may end otherwise the next time.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import orjson
from django.db import IntegrityError

from kernel.db.sql import fetch_all, violated_constraint
from kernel.errors import DomainError
from queueing.errors import NotAdmitted
from reservations.errors import IdempotencyKeyReused, RefusedBefore
from seats.errors import SeatBeingChosen, SeatTakenCached

LIFE = "24 hours"
Sale = TypeVar("Sale")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that its sender has named. `fingerprint` tells one request from another with the same name."""

    user_id: UUID
    key: str
    fingerprint: str

    @property
    def name(self) -> str:
        """For the lock that tells that it is running: a hash, since the key may be any text."""
        return hashlib.sha256(f"{self.user_id}:{self.key}".encode()).hexdigest()[:32]


def named_request(*, user_id: UUID, key: str, path: str, body: dict[str, Any]) -> Request:
    """`path` says which operation it is; members of `body` may come in any order."""
    asked = orjson.dumps([path, body], option=orjson.OPT_SORT_KEYS)
    return Request(user_id=user_id, key=key, fingerprint=hashlib.sha256(asked).hexdigest())


class AnsweredBefore(Exception):
    """The statement that sells found the request's record, and sold nothing."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record
        super().__init__()


# Parts of the statements that sell: the record of an earlier answer, and the record of this one.
EARLIER = f"""earlier AS MATERIALIZED (
    SELECT fingerprint, reservation_id, refusal FROM idempotency_keys
    WHERE user_id = %(user_id)s AND key = %(request_key)s::text AND created_at > now() - interval '{LIFE}'
)"""
REMEMBERED = """remembered AS (
    INSERT INTO idempotency_keys (user_id, key, fingerprint, reservation_id)
    SELECT %(user_id)s, %(request_key)s::text, %(request_fingerprint)s::text, id FROM reservation
    WHERE %(request_key)s::text IS NOT NULL
)"""
EARLIER_RECORD = "(SELECT to_jsonb(earlier) FROM earlier) AS earlier"


def parameters(request: Request | None) -> dict[str, str | None]:
    """What EARLIER and REMEMBERED need besides `user_id`."""
    return {
        "request_key": request.key if request else None,
        "request_fingerprint": request.fingerprint if request else None,
    }


def once(request: Request | None, *, sell: Callable[[], Sale], load: Callable[[UUID], Sale]) -> Sale:
    """`sell()`, or what it gave the first time. `load` makes a sale's answer from its reservation's id.

    Raises what the first one was refused with, and IdempotencyKeyReused if the name belongs to another request.
    """
    if request is None:
        return sell()
    try:
        return sell()
    except AnsweredBefore as answered:
        earlier: UUID | None = _judged(request, answered.record)
    except (SeatBeingChosen, SeatTakenCached, NotAdmitted):
        if (earlier := _look_up(request)) is None:
            raise
    except DomainError as refusal:
        if (earlier := _remember_refusal(request, refusal)) is None:
            raise
    except IntegrityError as error:
        # The same request ran at the same moment while Redis was away, or its record is older than LIFE.
        if violated_constraint(error) != "idempotency_key_once":
            raise
        if (earlier := _look_up(request)) is None:
            return sell()
    assert earlier is not None  # noqa: S101 - each branch above has seen to it
    return load(earlier)


_LOOK_UP = """
WITH outlived AS (
    DELETE FROM idempotency_keys WHERE user_id = %(user_id)s AND key = %(key)s AND created_at <= now() - %(life)s::interval
)
SELECT fingerprint, reservation_id, refusal FROM idempotency_keys
WHERE user_id = %(user_id)s AND key = %(key)s AND created_at > now() - %(life)s::interval
"""

_REMEMBER_REFUSAL = """
WITH kept AS (
    INSERT INTO idempotency_keys (user_id, key, fingerprint, refusal)
    VALUES (%(user_id)s, %(key)s, %(fingerprint)s, %(refusal)s::jsonb)
    ON CONFLICT (user_id, key) DO NOTHING
    RETURNING 1
)
SELECT fingerprint, reservation_id, refusal FROM idempotency_keys
WHERE user_id = %(user_id)s AND key = %(key)s AND created_at > now() - %(life)s::interval AND NOT EXISTS (SELECT FROM kept)
"""


def _look_up(request: Request) -> UUID | None:
    """The reservation that the request has made before, if it has."""
    rows = fetch_all(_LOOK_UP, {"user_id": request.user_id, "key": request.key, "life": LIFE})
    return _judged(request, rows[0]) if rows else None


def _remember_refusal(request: Request, refusal: DomainError) -> UUID | None:
    """Stores the refusal as the answer; if the same request was answered meanwhile, that answer counts."""
    if not refusal.result_envelope:
        return None
    stored = {"kind": refusal.kind.value, "code": refusal.code, "message": refusal.message}
    rows = fetch_all(
        _REMEMBER_REFUSAL,
        {
            "user_id": request.user_id,
            "key": request.key,
            "fingerprint": request.fingerprint,
            "refusal": orjson.dumps(stored).decode(),
            "life": LIFE,
        },
    )
    return _judged(request, rows[0]) if rows else None


def _judged(request: Request, record: dict[str, Any]) -> UUID | None:
    if record["fingerprint"] != request.fingerprint:
        raise IdempotencyKeyReused
    if record["refusal"] is not None:
        raise RefusedBefore(record["refusal"])
    return UUID(str(record["reservation_id"]))
