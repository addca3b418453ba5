"""Auditing the data against the checks of `reservations.integrity`. Nothing is corrected here."""

from uuid import UUID

from django.db import connection, transaction

from kernel.db.sql import fetch_all, fetch_one
from queueing import services as queueing
from queueing.errors import WaitingRoomUnavailable
from reservations.integrity import CHECKS, Audit, Check, Outcome

MAX_ROWS = 1000  # of one check in the result


def audit(*, event_id: UUID | None = None) -> Audit:
    """Checks one event or all of them as of one moment, also in the middle of a sale.

    While Redis does not respond, the waiting rooms are not checked: see `Audit.waiting_room_was_checked`.
    """
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SET LOCAL statement_timeout = 0")
        moment = fetch_one("SELECT now() AS moment", {})["moment"]
        outcomes = [_outcome(check, event_id) for check in CHECKS]
    try:
        inconsistencies = queueing.find_inconsistencies(event_id=event_id)
    except WaitingRoomUnavailable:
        return Audit(moment=moment, outcomes=outcomes, waiting_room_was_checked=False)
    for name, rule in queueing.QUEUE_RULES.items():
        rows = [{"event_id": str(found.event_id), **found.shown} for found in inconsistencies if found.check == name]
        outcomes.append(Outcome(check=name, rule=rule, count=len(rows), rows=rows[:MAX_ROWS]))
    return Audit(moment=moment, outcomes=outcomes, waiting_room_was_checked=True)


def _outcome(check: Check, event_id: UUID | None) -> Outcome:
    query = check.query.format(only=f"{check.event} = %(event_id)s" if event_id else "true")
    violations = fetch_all(
        # In an order: two audits of the same data must show the same rows, whatever plan PostgreSQL chose.
        f"SELECT to_jsonb(violation) AS row, count(*) OVER () AS count FROM ({query}) violation ORDER BY 1 LIMIT {MAX_ROWS}",
        {"event_id": event_id} if event_id else {},
    )
    rows = [violation["row"] for violation in violations]
    return Outcome(check=check.name, rule=check.rule, count=violations[0]["count"] if violations else 0, rows=rows)
