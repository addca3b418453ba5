"""Delivering messages to the URLs of subscribers: at least once, and those of one subject in order."""

import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from uuid import UUID

import orjson
from django.conf import settings

from kernel.db.sql import fetch_all, fetch_one
from outbox import effects
from outbox.sending import AttemptResult, Outgoing, no_answer, send
from outbox.services.numbering import number_messages

PARALLEL = 8  # requests to one subscriber, each about another subject
MAX_SECONDS = 20.0  # for one subscriber, before the others have their turn
GRACE_SECONDS = 5.0  # of the lease, for the statements around an attempt
# So many failures in a row are the subscriber's own, not those of a message: from then on one message at a time is tried.
# Between them is half of the time for which it has failed already, at most MAX_REST_SECONDS.
SUSPECT = 5
MAX_REST_SECONDS = 60.0

# --- Statements -------------------------------------------------------------------------------------------------------

# The first of its subject that is pending, and due: an earlier one that waits for its next attempt holds back the others.
_HEADS = """
    FROM outbox_deliveries d WHERE d.subscriber_id = s.id AND d.status = 'pending' AND d.next_attempt_at <= now()
    AND NOT EXISTS (
        SELECT FROM outbox_deliveries e WHERE e.subscriber_id = d.subscriber_id AND e.subject_id = d.subject_id
            AND e.status = 'pending' AND e.position < d.position
    )"""

# One process at a time delivers to a subscriber. If it is killed, its lease ends.
_LEASE = f"""
UPDATE outbox_subscribers SET lease = %(lease)s, leased_until = now() + make_interval(secs => %(lease_seconds)s)
WHERE id = (
    SELECT s.id FROM outbox_subscribers s
    WHERE s.is_active AND s.url <> '' AND s.paused_at IS NULL AND s.id <> ALL(%(done)s::uuid[])
      AND coalesce(s.not_before, '-infinity') <= now() AND coalesce(s.leased_until, '-infinity') <= now()
      AND EXISTS (SELECT {_HEADS})
    ORDER BY s.leased_until NULLS FIRST LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
)
RETURNING id
"""

# Prolongs the lease, too. Nothing if it is lost, or the subscriber was paused or changed so that it gets nothing.
_NEXT = f"""
WITH s AS (
    UPDATE outbox_subscribers SET leased_until = now() + make_interval(secs => %(lease_seconds)s)
    WHERE id = %(subscriber_id)s AND lease = %(lease)s AND is_active AND url <> '' AND paused_at IS NULL
      AND coalesce(not_before, '-infinity') <= now()
    RETURNING id, url, secret, failures, CASE WHEN previous_valid_until > now() THEN previous_secret END AS previous_secret
)
SELECT head.id AS delivery_id, head.attempts, m.public_id, m.kind, m.created_at, m.data,
       s.url, s.secret, s.previous_secret
FROM s CROSS JOIN LATERAL (
    SELECT d.id, d.message_id, d.attempts, d.position {_HEADS}
    ORDER BY d.position LIMIT CASE WHEN s.failures >= {SUSPECT} THEN 1 ELSE %(parallel)s END
) head JOIN outbox_messages m ON m.id = head.message_id
ORDER BY head.position
"""

_RELEASE = (
    "UPDATE outbox_subscribers SET lease = NULL, leased_until = NULL WHERE id = %(subscriber_id)s AND lease = %(lease)s"
)


# Grows with each failure, and is a little shorter or longer each time.
_PAUSE = "least(%(first_pause)s * power(4, least(d.attempts, 20)), %(max_pause)s) * (0.9 + 0.2 * random())"
_REST = f"""least(
    greatest(%(first_pause)s, extract(epoch FROM now() - coalesce(b.failing_since, now())) / 2), {MAX_REST_SECONDS}
)"""

# A subscriber that answers again gets at once what has waited for it. One that has answered nothing for as long as a message
# is tried, or says 410 Gone, is paused.
_RECORD = f"""
WITH result AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(results)s::jsonb) AS r (
        delivery_id bigint, is_delivered boolean, http_status smallint, error text, answer text, seconds float8,
        sent_headers jsonb, at timestamptz
    )
),
attempt AS (
    INSERT INTO outbox_attempts (delivery_id, at, seconds, sent_headers, http_status, error, answer)
    SELECT r.delivery_id, r.at, r.seconds, r.sent_headers, r.http_status, r.error, r.answer
    FROM result r JOIN outbox_deliveries d ON d.id = r.delivery_id
),
delivery AS (
    UPDATE outbox_deliveries d SET attempts = d.attempts + 1,
        status = CASE WHEN r.is_delivered THEN 'delivered'
            WHEN d.pending_since <= now() - make_interval(secs => %(give_up)s) THEN 'failed' ELSE 'pending' END,
        delivered_at = CASE WHEN r.is_delivered THEN now() END,
        next_attempt_at = now() + make_interval(secs => {_PAUSE})
    FROM result r WHERE d.id = r.delivery_id AND d.status = 'pending'
    RETURNING d.status
),
total AS MATERIALIZED (
    SELECT count(*) AS count, coalesce(bool_or(is_delivered), false) AS any_delivered,
           coalesce(bool_or(http_status = 410), false) AS is_gone
    FROM result
),
before AS MATERIALIZED (
    SELECT id, failing_since, failures FROM outbox_subscribers WHERE id = %(subscriber_id)s FOR NO KEY UPDATE
),
subscriber AS (
    UPDATE outbox_subscribers s SET
        failures = CASE WHEN t.any_delivered THEN 0 ELSE b.failures + t.count END,
        failing_since = CASE WHEN NOT t.any_delivered THEN coalesce(b.failing_since, now()) END,
        not_before = CASE WHEN NOT t.any_delivered AND b.failures + t.count >= {SUSPECT}
            THEN now() + make_interval(secs => {_REST}) END,
        paused_at = CASE WHEN t.is_gone OR (NOT t.any_delivered
            AND b.failing_since <= now() - make_interval(secs => %(give_up)s)) THEN now() END
    FROM before b, total t WHERE s.id = b.id
    RETURNING s.paused_at
),
due_again AS (
    UPDATE outbox_deliveries d SET next_attempt_at = now()
    FROM before b, total t
    WHERE t.any_delivered AND b.failures >= {SUSPECT} AND d.subscriber_id = b.id AND d.status = 'pending'
      AND d.next_attempt_at > now() AND d.id NOT IN (SELECT delivery_id FROM result)
)
SELECT t.any_delivered, (SELECT count(*) FROM delivery WHERE status = 'failed') AS given_up,
       EXISTS (SELECT FROM subscriber WHERE paused_at IS NOT NULL) AS is_paused
FROM total t
"""


# --- Operations -------------------------------------------------------------------------------------------------------


def deliver() -> dict[str, int]:
    """Numbers what has committed, and sends what is due, to one subscriber after the other. Returns the counts not 0.

    Safe at once in many processes: each takes the subscribers that no other one has.
    """
    counts = {"numbered": number_messages(), "delivered": 0, "failed": 0}
    done: list[UUID] = []
    lease = uuid.uuid4()
    while taken := fetch_all(_LEASE, {"lease": lease, "done": done, "lease_seconds": _lease_seconds()}):
        subscriber_id = taken[0]["id"]
        done.append(subscriber_id)
        try:
            for outcomes in _batches(subscriber_id, lease):
                delivered = sum(outcome.is_delivered for outcome in outcomes)
                counts["delivered"] += delivered
                counts["failed"] += len(outcomes) - delivered
        finally:
            fetch_all(_RELEASE, {"subscriber_id": subscriber_id, "lease": lease})
    return {name: count for name, count in counts.items() if count}


def _lease_seconds() -> float:
    return 2 * settings.WEBHOOK_TIMEOUT_SECONDS + GRACE_SECONDS


def _batches(subscriber_id: UUID, lease: UUID) -> Iterator[list[AttemptResult]]:
    """Yields the outcomes of one batch after the other, until nothing is due or MAX_SECONDS are over."""
    stop_at = time.monotonic() + MAX_SECONDS
    wanted = {
        "subscriber_id": subscriber_id,
        "lease": lease,
        "lease_seconds": _lease_seconds(),
        "parallel": PARALLEL,
    }
    threads = ThreadPoolExecutor(PARALLEL, thread_name_prefix="webhook")
    try:
        while time.monotonic() < stop_at and (rows := fetch_all(_NEXT, wanted)):
            outcomes = _send_all(threads, [Outgoing(**row) for row in rows])
            _record(subscriber_id, outcomes)
            yield outcomes
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _send_all(threads: ThreadPoolExecutor, webhooks: Sequence[Outgoing]) -> list[AttemptResult]:
    sent: list[Future[AttemptResult]] = [threads.submit(send, webhook) for webhook in webhooks]
    ended, _ = wait_for(sent, timeout=settings.WEBHOOK_TIMEOUT_SECONDS + 1)
    # The others wait for a name server, whom no time limit of ours reaches.
    return [
        future.result() if future in ended else no_answer(webhook)
        for webhook, future in zip(webhooks, sent, strict=True)
    ]


def _record(subscriber_id: UUID, outcomes: Sequence[AttemptResult]) -> None:
    row = fetch_one(
        _RECORD,
        {
            "subscriber_id": subscriber_id,
            "results": orjson.dumps([outcome.as_row() for outcome in outcomes]).decode(),
            "first_pause": settings.WEBHOOK_FIRST_PAUSE_SECONDS,
            "max_pause": settings.WEBHOOK_MAX_PAUSE_SECONDS,
            "give_up": settings.WEBHOOK_GIVE_UP_SECONDS,
        },
    )
    effects.attempts_were_made(outcomes)
    if row["is_paused"]:
        effects.subscriber_was_paused(subscriber_id)
