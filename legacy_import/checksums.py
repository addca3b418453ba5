"""Row counts and sums by which copies of a table are compared: the source's, the staging table's, and ours."""

from collections import defaultdict
from typing import Any

from legacy_import.tables import Table

Checksums = dict[str, int]  # {"rows": 3, "price": 300, ..., "status sold": 1, ...}


def checksum_query(table: Table, rows: str) -> str:
    """A SELECT for `combine_checksums`. `rows` is a FROM item with the old columns, which is read once."""
    statuses = [name for name in ("status", "payment_status") if name in table.columns]
    parts = [*(f"{name} AS by_{name}" for name in statuses), "count(*) AS rows"]
    parts += [f"sum({name}) AS {name}" for name in table.of_type("integer")]
    # To the second: versions of PostgreSQL round fractions differently.
    parts += [
        f"sum(extract(epoch FROM date_trunc('second', {name}))::bigint) FILTER (WHERE isfinite({name})) AS {name}"
        for name in table.of_type("timestamp")
    ]
    parts += [f"count({name}) AS {name}" for name in table.of_type("uuid")]
    parts += [f"sum(length({name})) AS {name}" for name in table.of_type("text") if name not in statuses]
    grouped = f" GROUP BY {', '.join(statuses)}" if statuses else ""
    return f"SELECT {', '.join(parts)} FROM {rows} checked{grouped}"


def combine_checksums(groups: list[dict[str, Any]]) -> Checksums:
    """Adds up the groups that `checksum_query` returns."""
    totals: Checksums = defaultdict(int)
    for group in sorted(groups, key=str):
        for name, value in group.items():
            if name.startswith("by_"):
                totals[f"{name[3:]} {value}"] += group["rows"]
            else:
                totals[name] += int(value or 0)
    return dict(totals)


def digest_query(table: Table, rows: str) -> str:
    """A SELECT of the row count and of a digest of every value in `rows`. Comparable on one server only."""
    return f"SELECT count(*) AS rows, sum(hash_record_extended(ROW({table.column_list}), 0)) AS digest FROM {rows} digested"


def compare_checksums(source: Checksums, copy: Checksums) -> dict[str, tuple[int, int]]:
    """The checksums that differ, as (source, copy)."""
    names = [*source, *(name for name in copy if name not in source)]
    pairs = {name: (source.get(name, 0), copy.get(name, 0)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
