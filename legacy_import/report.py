"""The report of an import to its operator."""

from collections.abc import Callable, Sequence

from legacy_import.checksums import Checksums
from legacy_import.source import Source
from legacy_import.tables import INVALID, LIVE, LIVE_SEATS, is_valid, valid_rows
from legacy_import.validation import Finding, collect_findings

WriteLine = Callable[[str], object]

# What is imported with a correction: SELECTs of (table_name, problem, id, detail).
_CORRECTED = f"""
SELECT 'seats' AS table_name, 'status set to that of its live reservation' AS problem, o.id,
       o.status || ' becomes ' || coalesce(l.seat_status, 'available') AS detail
FROM legacy_import_seats o LEFT JOIN {LIVE_SEATS} l ON l.seat_id = o.id
WHERE {is_valid("seats", "o")}
  AND coalesce(l.seat_status, 'available') <> CASE o.status WHEN 'reserved' THEN 'sold' ELSE o.status END
UNION ALL
SELECT 'reservations', 'pending without a deadline: one is set from its creation time', o.id, o.reservation_number
FROM ({valid_rows("reservations")}) o WHERE o.status = 'pending' AND o.expires_at IS NULL
"""
# What is imported unchanged, though `manage.py audit` will report it.
_INCONSISTENT = f"""
SELECT 'ticket_types' AS table_name, 'stock does not match the live reservations' AS problem, t.id,
       t.available_quantity || ' of ' || t.total_quantity || ' available, ' || coalesce(live.quantity, 0) || ' reserved'
           AS detail
FROM ({valid_rows("ticket_types")}) t LEFT JOIN (
    SELECT i.ticket_type_id, sum(i.quantity) AS quantity FROM ({valid_rows("reservation_items")}) i
    JOIN ({valid_rows("reservations")}) r ON r.id = i.reservation_id WHERE r.status IN {LIVE} GROUP BY 1
) live ON live.ticket_type_id = t.id WHERE t.total_quantity - t.available_quantity <> coalesce(live.quantity, 0)
UNION ALL
SELECT 'reservations', 'amount does not match its items', r.id,
       r.total_amount || ', items ' || coalesce(items.subtotal, 0)
FROM ({valid_rows("reservations")}) r LEFT JOIN (
    SELECT i.reservation_id, sum(i.subtotal) AS subtotal FROM ({valid_rows("reservation_items")}) i GROUP BY 1
) items ON items.reservation_id = r.id WHERE r.total_amount <> coalesce(items.subtotal, 0)
UNION ALL
SELECT 'reservations', 'live reservation of a cancelled event: will be ended, and refunded if paid', r.id,
       r.reservation_number
FROM ({valid_rows("reservations")}) r JOIN legacy_import_events e ON e.id = r.event_id
WHERE r.status IN {LIVE} AND e.status = 'cancelled'
"""
_REPORTED_SUMS = {
    "total_seats", "total_quantity", "available_quantity", "price", "total_amount", "quantity", "subtotal",
}  # fmt: skip


def write_source(source: Source, write_line: WriteLine) -> None:
    write_line(f"Reading {source.name} at snapshot {source.snapshot}.")
    for table, columns in source.unknown_columns.items():
        write_line(f"  Unknown columns of {table}, not imported: {', '.join(columns)}")


def write_findings(invalid: Sequence[Finding], write_line: WriteLine) -> None:
    _write_section("Invalid, left out with --skip-invalid", invalid, write_line)
    _write_section("Corrected", collect_findings(_CORRECTED), write_line)
    _write_section("Inconsistent, imported unchanged", collect_findings(_INCONSISTENT), write_line)


def _write_section(title: str, findings: Sequence[Finding], write_line: WriteLine) -> None:
    write_line(f"{title}: {'' if findings else 'none'}")
    for finding in findings:
        write_line(f"  {finding.table}: {finding.problem}: {finding.rows:,}")
        for example in finding.examples:
            write_line(f"    {example['id']}  {example['detail'] or ''}")
        if finding.rows > len(finding.examples):
            write_line(f"    and {finding.rows - len(finding.examples):,} more")


def write_result(imported: dict[str, Checksums], invalid: dict[str, int], write_line: WriteLine) -> None:
    write_line("Imported and verified: the counts, sums and values here are those of the old service.")
    for table, checksums in imported.items():
        shown = [f"{name} {value:,}" for name, value in checksums.items() if name in _REPORTED_SUMS or " " in name]
        left_out = f", {invalid[table]:,} left out" if table in invalid else ""
        write_line(f"  {table}: {checksums['rows']:,} rows{left_out}{'; ' if shown else ''}{', '.join(shown)}")
    if invalid:
        write_line(f"The table {INVALID} lists what was left out, and why.")
    if invalid.get("seats"):
        write_line(
            "Saving an event in the admin creates the seats of its layout that were left out. They are then on sale."
        )
