"""Counts and sums by which two copies of a table are compared: the old service's, the stage's, and ours."""

from collections import defaultdict
from typing import Any

from legacy_import.tables import Table

Measures = dict[str, int]  # {"rows": 3, "price": 300, ..., "status sold": 1, ...}


def measuring(table: Table, rows: str) -> str:
    """The SELECT that measures `rows`, a FROM item with the old columns, in one pass: see `measured`."""
    statuses = [name for name in ("status", "payment_status") if name in table.columns]
    parts = [*(f"{name} AS by_{name}" for name in statuses), "count(*) AS rows"]
    parts += [f"sum({name}) AS {name}" for name in table.of_type("integer")]
    # To the second: how fractions are rounded differs between versions of PostgreSQL.
    parts += [
        f"sum(extract(epoch FROM date_trunc('second', {name}))::bigint) FILTER (WHERE isfinite({name})) AS {name}"
        for name in table.of_type("timestamp")
    ]
    parts += [f"count({name}) AS {name}" for name in table.of_type("uuid")]
    parts += [f"sum(length({name})) AS {name}" for name in table.of_type("text") if name not in statuses]
    grouped = f" GROUP BY {', '.join(statuses)}" if statuses else ""
    return f"SELECT {', '.join(parts)} FROM {rows} measured{grouped}"


def measured(groups: list[dict[str, Any]]) -> Measures:
    """Adds up what was found."""
    found: Measures = defaultdict(int)
    for group in sorted(groups, key=str):
        for name, value in group.items():
            if name.startswith("by_"):
                found[f"{name[3:]} {value}"] += group["rows"]
            else:
                found[name] += int(value or 0)
    return dict(found)


def digesting(table: Table, rows: str) -> str:
    """The SELECT of how many `rows` there are, and of a number that changes with any value in them.

    To be compared on one server only.
    """
    return f"SELECT count(*) AS rows, sum(hash_record_extended(ROW({table.column_list}), 0)) AS digest FROM {rows} digested"


def difference(one: Measures, other: Measures) -> dict[str, tuple[int, int]]:
    """What differs, with both values."""
    names = [*one, *(name for name in other if name not in one)]
    return {name: (one.get(name, 0), other.get(name, 0)) for name in names if one.get(name, 0) != other.get(name, 0)}
