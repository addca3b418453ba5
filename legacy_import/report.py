"""What an operator is told."""

from collections.abc import Callable, Sequence

from legacy_import.checksums import Measures
from legacy_import.source import Source
from legacy_import.tables import HELD, LIVE, is_kept, kept
from legacy_import.validation import Finding, findings

Say = Callable[[str], object]

# What is moved, but not quite as it was: SELECTs of (table_name, what, id, detail).
_PUT_RIGHT = f"""
SELECT 'seats' AS table_name, 'status is that of its live reservation' AS what, o.id,
       o.status || ' becomes ' || coalesce(h.seat_status, 'available') AS detail
FROM legacy_import_seats o LEFT JOIN {HELD} h ON h.seat_id = o.id
WHERE {is_kept("seats", "o")}
  AND coalesce(h.seat_status, 'available') <> CASE o.status WHEN 'reserved' THEN 'sold' ELSE o.status END
UNION ALL
SELECT 'reservations', 'pending without a deadline: gets one, from when it was made', o.id, o.reservation_number
FROM ({kept("reservations")}) o WHERE o.status = 'pending' AND o.expires_at IS NULL
"""
# What is moved as it is, though `manage.py audit` will find it.
_ODD = f"""
SELECT 'ticket_types' AS table_name, 'stock is not total less what live reservations hold' AS what, t.id,
       t.available_quantity || ' of ' || t.total_quantity || ', held ' || coalesce(held.quantity, 0) AS detail
FROM ({kept("ticket_types")}) t LEFT JOIN (
    SELECT i.ticket_type_id, sum(i.quantity) AS quantity FROM ({kept("reservation_items")}) i
    JOIN ({kept("reservations")}) r ON r.id = i.reservation_id WHERE r.status IN {LIVE} GROUP BY 1
) held ON held.ticket_type_id = t.id WHERE t.total_quantity - t.available_quantity <> coalesce(held.quantity, 0)
UNION ALL
SELECT 'reservations', 'amount is not that of its items', r.id, r.total_amount || ', items ' || coalesce(items.subtotal, 0)
FROM ({kept("reservations")}) r LEFT JOIN (
    SELECT i.reservation_id, sum(i.subtotal) AS subtotal FROM ({kept("reservation_items")}) i GROUP BY 1
) items ON items.reservation_id = r.id WHERE r.total_amount <> coalesce(items.subtotal, 0)
UNION ALL
SELECT 'reservations', 'live, of a cancelled event: will be ended, and paid ones refunded', r.id, r.reservation_number
FROM ({kept("reservations")}) r JOIN legacy_import_events e ON e.id = r.event_id
WHERE r.status IN {LIVE} AND e.status = 'cancelled'
"""


def say_source(source: Source, say: Say) -> None:
    say(f"Reading {source.name}, as it is at snapshot {source.snapshot}.")
    for table, columns in source.unknown_columns.items():
        say(f"  Left out of {table}, since the plan does not know them: {', '.join(columns)}")


def say_findings(refused: Sequence[Finding], say: Say) -> None:
    """What is refused, what is put right, and what is odd."""
    _say("Refused, and left out with --skip-refused", refused, say)
    _say("Put right", findings(_PUT_RIGHT), say)
    _say("Odd, and moved as it is", findings(_ODD), say)


def _say(title: str, found: Sequence[Finding], say: Say) -> None:
    say(f"{title}: {'' if found else 'nothing'}")
    for finding in found:
        say(f"  {finding.table}: {finding.what}: {finding.rows:,}")
        for example in finding.examples:
            say(f"    {example['id']}  {example['detail'] or ''}")
        if finding.rows > len(finding.examples):
            say(f"    and {finding.rows - len(finding.examples):,} more")


def say_moved(moved: dict[str, Measures], refused: dict[str, int], say: Say) -> None:
    say("Moved, and verified: what was read and what is here have the same counts, sums and values.")
    for table, measured in moved.items():
        shown = [f"{name} {value:,}" for name, value in measured.items() if name in _SHOWN or " " in name]
        left_out = f", {refused[table]:,} left out" if table in refused else ""
        say(f"  {table}: {measured['rows']:,} rows{left_out}{'; ' if shown else ''}{', '.join(shown)}")
    if refused:
        say("What was left out, and why, stands in the table legacy_import_refused.")
    if refused.get("seats"):
        say("Saving an event in the admin makes the seats of its layout that were left out: free, for sale.")


_SHOWN = {"total_seats", "total_quantity", "available_quantity", "price", "total_amount", "quantity", "subtotal"}
