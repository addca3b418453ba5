"""Counts and sums by which two copies of a table are compared: the old service's, the stage's, and ours."""

from typing import Any

from seats.moving_in.tables import Table

STATUSES = ("status", "payment_status")


def measuring(table: Table, rows: str) -> str:
    """The SELECT that measures `rows`, a FROM item with the old columns. One row; see `measured`."""
    parts = ["count(*) AS rows"]
    parts += [f"sum({name})::text AS {name}" for name in table.of_type("integer")]
    # To the second: how fractions are rounded differs between versions of PostgreSQL.
    parts += [
        f"sum(extract(epoch FROM date_trunc('second', {name}))::bigint) FILTER (WHERE isfinite({name}))::text AS {name}"
        for name in table.of_type("timestamp")
    ]
    parts += [f"sum(length({name}::text))::text AS {name}" for name in table.of_type("text", "uuid")]
    return f"SELECT {', '.join(parts)} FROM {rows} measured"


def counting_statuses(table: Table, rows: str) -> str:
    """The SELECT that counts `rows` by what stands in their columns of statuses: (column, value, rows)."""
    counted = [
        f"SELECT '{name}' AS column_name, {name} AS value, count(*) AS rows FROM {rows} measured GROUP BY {name}"
        for name in STATUSES
        if name in table.columns
    ]
    return " UNION ALL ".join(counted)


def digesting(table: Table, rows: str) -> str:
    """The SELECT of one number that changes with any value of `rows`. To be compared on one server only."""
    return f"SELECT coalesce(sum(hashtext(ROW({table.column_list})::text)::bigint), 0)::text AS digest FROM {rows} digested"


def measured(sums: dict[str, Any], statuses: list[dict[str, Any]]) -> dict[str, Any]:
    """What both have found, to be compared and stored: {"rows": 3, "price": 300, ..., "status sold": 1}."""
    found = {name: int(value or 0) for name, value in sums.items()}
    for counted in sorted(statuses, key=lambda row: (row["column_name"], row["value"] or "")):
        found[f"{counted['column_name']} {counted['value']}"] = counted["rows"]
    return found


def difference(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs, with both values."""
    names = [*one, *(name for name in other if name not in one)]
    return {name: (one.get(name, 0), other.get(name, 0)) for name in names if one.get(name, 0) != other.get(name, 0)}
