"""Is everything as it must be? Only looks and tells; nothing is put right here."""

from uuid import UUID

from django.db import connection, transaction

from kernel.db.sql import fetch_all, fetch_one
from queueing import services as queueing
from queueing.errors import WaitingRoomUnavailable
from reservations.integrity import CHECKS, Audit, Check, Outcome

MAX_ROWS = 1000  # of one check that are shown


def audit(*, event_id: UUID | None = None) -> Audit:
    """Looks at one event, or at all, as they are at one moment, in the middle of a sale, too.

    While Redis does not answer, the waiting room is left out, and the audit says so.
    """
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SET LOCAL statement_timeout = 0")
        moment = fetch_one("SELECT now() AS moment", {})["moment"]
        outcomes = [_outcome(check, event_id) for check in CHECKS]
    try:
        rooms = queueing.find_inconsistencies(event_id=event_id)
    except WaitingRoomUnavailable:
        return Audit(moment=moment, outcomes=outcomes, waiting_room_was_checked=False)
    for name, rule in queueing.QUEUE_RULES.items():
        rows = [{"event_id": str(found.event_id), **found.shown} for found in rooms if found.check == name]
        outcomes.append(Outcome(check=name, rule=rule, count=len(rows), rows=rows[:MAX_ROWS]))
    return Audit(moment=moment, outcomes=outcomes, waiting_room_was_checked=True)


def _outcome(check: Check, event_id: UUID | None) -> Outcome:
    query = check.query.format(only=f"{check.event} = %(event_id)s" if event_id else "true")
    found = fetch_all(
        f"SELECT to_jsonb(violation) AS row, count(*) OVER () AS count FROM ({query}) violation LIMIT {MAX_ROWS}",
        {"event_id": event_id} if event_id else {},
    )
    rows = [violation["row"] for violation in found]
    return Outcome(check=check.name, rule=check.rule, count=found[0]["count"] if found else 0, rows=rows)
