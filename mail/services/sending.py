"""Sending mails: each once, as far as SMTP lets anybody know."""

import logging
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings

from kernel.db.sql import fetch_all
from mail import effects
from mail.composing import Dropped, compose
from mail.selectors import FACTS, FACTS_FROM
from mail.sending import Connection, MailOutcome, Result, ServerUnavailable
from mail.services.collecting import collect

logger = logging.getLogger(__name__)

PARALLEL = 4  # connections to the mail server
MAX_SECONDS = 20.0  # of a run
LEASE_SECONDS = 60.0
# A process that was killed is known by its claim. Longer than a mail server may take for one message.
CLAIM_SECONDS = 600.0
MAX_REST_SECONDS = 300.0

# --- Statements -------------------------------------------------------------------------------------------------------

# What a killed process has claimed is sent again only if nothing of it was handed over. What has waited for too long, while
# the mail server was away, is news no more.
_TIDY = f"""
UPDATE mails SET claimed_at = NULL,
    status = CASE WHEN status = 'pending' THEN 'failed' WHEN handed_over_at IS NULL THEN 'pending' ELSE 'uncertain' END,
    error = CASE WHEN status = 'pending' THEN 'not sent in time' ELSE 'the process was killed while it was sending' END
WHERE (status = 'sending' AND claimed_at < now() - interval '{CLAIM_SECONDS} seconds')
   OR (status = 'pending' AND next_attempt_at <= now() AND pending_since < now() - make_interval(secs => %(give_up)s))
RETURNING status
"""

# Mails to one buyer go in order: while an earlier one waits for its next attempt, later ones wait, too.
_DUE = """m.status = 'pending' AND m.next_attempt_at <= now() AND NOT EXISTS (
    SELECT FROM mails e WHERE e.user_id = m.user_id AND e.id < m.id AND e.status IN ('pending', 'sending')
)"""

# One run at a time, however many workers there are: it has up to PARALLEL connections.
_LEASE = f"""
UPDATE mail_progress SET lease = %(lease)s, leased_until = now() + make_interval(secs => %(seconds)s)
WHERE coalesce(leased_until, '-infinity') <= now() AND coalesce(not_before, '-infinity') <= now()
  AND EXISTS (SELECT FROM mails m WHERE {_DUE})
RETURNING (SELECT count(*) FROM (SELECT FROM mails m WHERE {_DUE} LIMIT {PARALLEL}) due)::int AS connections
"""
_RELEASE = "UPDATE mail_progress SET lease = NULL, leased_until = NULL WHERE lease = %(lease)s"

_CLAIM = f"""
WITH m AS (
    UPDATE mails SET status = 'sending', attempts = attempts + 1, claimed_at = now(), handed_over_at = NULL
    WHERE id = (
        SELECT m.id FROM mails m WHERE {_DUE}
        ORDER BY m.next_attempt_at, m.id LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING *
)
SELECT m.id, m.public_id, m.kind, m.attempts, m.reservation_id, m.data, {FACTS} FROM m {FACTS_FROM}
"""

_HAND_OVER = """
UPDATE mails SET handed_over_at = now() WHERE id = %(id)s AND attempts = %(attempts)s AND status = 'sending' RETURNING id
"""

# Each pause is four times as long as the one before, and a little shorter or longer.
_RECORD = """
UPDATE mails SET error = %(error)s, claimed_at = NULL,
    status = CASE WHEN %(outcome)s::text <> 'pending' THEN %(outcome)s
        WHEN pending_since <= now() - make_interval(secs => %(give_up)s) THEN 'failed' ELSE 'pending' END,
    sent_at = CASE WHEN %(outcome)s = 'sent' THEN now() END,
    next_attempt_at = now() + make_interval(
        secs => least(%(first_pause)s * power(4, least(attempts - 1, 20)), %(max_pause)s) * (0.9 + 0.2 * random())
    )
WHERE id = %(id)s AND attempts = %(attempts)s AND status IN ('sending', 'uncertain')
"""

# The mail server is away, or refuses us: no mail's fault. It is asked again after pauses that grow.
_REST = f"""
UPDATE mail_progress SET failures = failures + 1, not_before = now() + make_interval(
    secs => least(%(first_pause)s * power(2, least(failures, 20)), {MAX_REST_SECONDS})
)
"""
_ANSWERS = "UPDATE mail_progress SET failures = 0, not_before = NULL WHERE failures > 0"


class ClaimLost(Exception):
    """A mail that this process was slow to send is somebody else's by now."""


# --- Operations -------------------------------------------------------------------------------------------------------


def send_mails() -> dict[str, int]:
    """Makes mails of what has happened, and sends those that are due. Returns the counts that are not 0.

    Safe at once in many processes: one of them sends.
    """
    counts = {"made": collect()}
    for row in fetch_all(_TIDY, {"give_up": settings.MAIL_GIVE_UP_SECONDS}):
        effects.mail_ended(row["status"])
    lease = uuid.uuid4()
    if leased := fetch_all(_LEASE, {"lease": lease, "seconds": LEASE_SECONDS}):
        try:
            counts |= _send_all(leased[0]["connections"])
        finally:
            fetch_all(_RELEASE, {"lease": lease})
    return {name: count for name, count in counts.items() if count}


def _send_all(connections: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    lock = threading.Lock()

    def count(outcome: str) -> None:
        with lock:
            counts[outcome] = counts.get(outcome, 0) + 1

    stop_at = time.monotonic() + MAX_SECONDS
    with ThreadPoolExecutor(connections, thread_name_prefix="mail") as threads:
        runs = [threads.submit(_send_until, stop_at, count) for _ in range(connections)]
    for run in runs:
        run.result()
    return counts


def _send_until(stop_at: float, count: Callable[[str], None]) -> None:
    """Sends one mail after the other over one connection, until none is due."""
    connection = Connection()
    try:
        while time.monotonic() < stop_at:
            connection.open()
            if not (rows := fetch_all(_CLAIM, {})):
                break
            result = _send(connection, rows[0])
            _record(rows[0], result)
            count(result.outcome.value)
        fetch_all(_ANSWERS, {})
    except ServerUnavailable as error:
        fetch_all(_REST, {"first_pause": settings.MAIL_FIRST_PAUSE_SECONDS})
        effects.server_failed(error)
    finally:
        connection.close()


def _send(connection: Connection, row: dict[str, Any]) -> Result:
    try:
        message = compose(row)
    except Dropped as reason:
        return Result(MailOutcome.DROPPED, str(reason))
    except Exception:
        logger.exception("mail %s could not be written", row["public_id"])
        return Result(MailOutcome.FAILED, "it could not be written: see the log of the worker")
    return connection.send(message, before_content=lambda: _hand_over(row))


def _hand_over(row: dict[str, Any]) -> None:
    if not fetch_all(_HAND_OVER, {"id": row["id"], "attempts": row["attempts"]}):
        raise ClaimLost(row["public_id"])


def _record(row: dict[str, Any], result: Result) -> None:
    fetch_all(
        _RECORD,
        {
            "id": row["id"],
            "attempts": row["attempts"],
            "outcome": result.outcome.value,
            "error": result.error,
            "first_pause": settings.MAIL_FIRST_PAUSE_SECONDS,
            "max_pause": settings.MAIL_MAX_PAUSE_SECONDS,
            "give_up": settings.MAIL_GIVE_UP_SECONDS,
        },
    )
    effects.mail_ended(result.outcome.value)
