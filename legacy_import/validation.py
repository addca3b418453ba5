"""Finds invalid rows in the staging tables, and the rows that depend on them.

A reservation is imported as a whole or not at all. Of duplicates the first row is kept, and a paid one before others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from events.models import Event, KeywordMapping, SeatLayout
from kernel.db.sql import fetch_all, fetch_one
from legacy_import.staging import execute
from legacy_import.tables import INVALID, LIVE, LIVE_SEATS, TABLES, Table, is_valid
from reservations.models import Reservation, ReservationItem
from seats.models import Seat
from tickets.models import TicketType

_MODELS: dict[str, type[Model]] = {
    model._meta.db_table: model
    for model in (SeatLayout, Event, TicketType, KeywordMapping, Seat, Reservation, ReservationItem)
}
# By table: (problem, condition, detail).
_RULES: dict[str, list[tuple[str, str, str]]] = {
    "seat_layouts": [("negative number of seats", "o.total_seats < 0", "o.total_seats")],
    "events": [
        ("unknown status", "o.status NOT IN ('upcoming', 'on_sale', 'sold_out', 'ended', 'cancelled')", "o.status"),
        ("sale ends before it starts", "o.sale_end_date < o.sale_start_date", "o.sale_end_date"),
    ],
    "ticket_types": [
        ("negative price", "o.price < 0", "o.price"),
        (
            "stock out of range",
            "o.available_quantity NOT BETWEEN 0 AND o.total_quantity",
            "o.available_quantity || ' of ' || o.total_quantity",
        ),
    ],
    "seats": [
        ("unknown status", "o.status NOT IN ('available', 'locked', 'reserved', 'sold')", "o.status"),
        ("negative price", "o.price < 0", "o.price"),
    ],
    "reservations": [
        ("unknown status", "o.status NOT IN ('pending', 'confirmed', 'cancelled', 'expired')", "o.status"),
        (
            "unknown payment status",
            "o.payment_status NOT IN ('pending', 'completed', 'failed', 'refunded')",
            "o.payment_status",
        ),
        ("negative amount", "o.total_amount < 0", "o.total_amount"),
    ],
    "reservation_items": [
        ("quantity not above 0", "o.quantity <= 0", "o.quantity"),
        ("negative amount", "o.unit_price < 0 OR o.subtotal < 0", "o.unit_price || ', ' || o.subtotal"),
    ],
}
_UNKNOWN_USER = ("unknown user", "NOT EXISTS (SELECT FROM auth_schema.users u WHERE u.id = o.user_id)", "o.user_id")
# Unique columns: (table, columns, ORDER BY of which the first row is kept).
_UNIQUE = [
    *((table, "id", "row_position") for table in TABLES),
    ("keyword_mappings", "korean, english", "created_at, row_position"),
    ("seats", "event_id, section, row_number, seat_number", "status = 'available', created_at, row_position"),
    ("reservations", "reservation_number", f"status IN {LIVE} DESC, created_at, row_position"),
]
_LIVE_ITEMS = f"""(
    SELECT i.seat_id, i.row_position, r.id AS reservation_id, r.status, r.created_at
    FROM legacy_import_reservation_items i JOIN legacy_import_reservations r ON r.id = i.reservation_id
    WHERE i.seat_id IS NOT NULL AND r.status IN {LIVE}
      AND {is_valid("reservation_items", "i")} AND {is_valid("reservations", "r")}
)"""
_SEATS_IN_TWO_RESERVATIONS = f"""
SELECT 'reservations', r.row_position, r.id, 'one of its seats is in another live reservation',
       'seat ' || claim.seat_id || ' is kept by ' || claim.winner
FROM (
    SELECT seat_id, reservation_id, first_value(reservation_id) OVER claims AS winner, row_number() OVER claims AS rank
    FROM {_LIVE_ITEMS} item
    WHERE seat_id IN (SELECT seat_id FROM {_LIVE_ITEMS} item GROUP BY seat_id HAVING count(*) > 1)
    WINDOW claims AS (PARTITION BY seat_id ORDER BY status = 'confirmed' DESC, created_at, row_position)
) claim JOIN legacy_import_reservations r ON r.id = claim.reservation_id WHERE claim.rank > 1
"""
_SEATS_WITHOUT_RESERVATION = f"""
SELECT 'seats', o.row_position, o.id, 'locked or sold without a live reservation', o.status FROM legacy_import_seats o
WHERE o.status IN ('locked', 'reserved', 'sold') AND NOT EXISTS (
    SELECT FROM legacy_import_reservation_items i JOIN legacy_import_reservations r ON r.id = i.reservation_id
    WHERE i.seat_id = o.id AND r.status IN {LIVE}
)
"""
_SEATS_OF_INVALID_RESERVATIONS = f"""
SELECT 'seats', o.row_position, o.id, 'its reservation is left out', o.status FROM legacy_import_seats o
WHERE o.status IN ('locked', 'reserved', 'sold') AND {is_valid("seats", "o")}
  AND NOT EXISTS (SELECT FROM {_LIVE_ITEMS} item WHERE item.seat_id = o.id)
"""
_INCOMPLETE_RESERVATIONS = f"""
SELECT 'reservations', o.row_position, o.id, 'one of its items is left out', o.reservation_number
FROM legacy_import_reservations o
WHERE {is_valid("reservations", "o")} AND o.id IN (
    SELECT i.reservation_id FROM {INVALID} f JOIN legacy_import_reservation_items i ON i.row_position = f.row_position
    WHERE f.table_name = 'reservation_items'
)
"""
_FILL_LIVE_SEATS = f"""
INSERT INTO {LIVE_SEATS} SELECT seat_id, reservation_id, CASE status WHEN 'confirmed' THEN 'sold' ELSE 'locked' END
FROM {_LIVE_ITEMS} item
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """Rows of one table that share a problem."""

    table: str
    problem: str
    rows: int
    examples: list[dict[str, Any]]  # {id, detail}


def find_invalid_rows() -> list[Finding]:
    """Fills the tables of invalid rows and of live seats. Returns the invalid rows by table and problem."""
    for table in TABLES.values():
        _mark_invalid(_single_rows(table))
        for column, parent in table.parents.items():
            _mark_invalid(_orphans(table, column, parent))
    for name, columns, order in _UNIQUE:
        _mark_invalid(_duplicates(name, columns, order))
    _mark_invalid(_SEATS_IN_TWO_RESERVATIONS)
    _mark_invalid(_SEATS_WITHOUT_RESERVATION)
    if fetch_all(f"SELECT FROM {INVALID} LIMIT 1", {}):
        while sum(map(_mark_invalid, _dependent_rows())):
            pass
    execute(_FILL_LIVE_SEATS)
    return collect_findings(f"SELECT table_name, problem, id, detail FROM {INVALID}")


def collect_findings(query: str) -> list[Finding]:
    """Groups the rows of a SELECT of (table_name, problem, id, detail), with five examples of each group."""
    groups = fetch_all(
        "SELECT table_name, problem, count(*) AS rows, "
        "to_jsonb((array_agg(jsonb_build_object('id', id, 'detail', detail) ORDER BY id))[:5]) AS examples "
        f"FROM ({query}) checked GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2",
        {},
    )
    return [Finding(row["table_name"], row["problem"], row["rows"], row["examples"]) for row in groups]


def _single_rows(table: Table) -> str:
    """A SELECT of the rows that are invalid by themselves."""
    rules = [*_value_rules(table), *_RULES.get(table.name, [])]
    if table.name == "reservations" and _refers_to_users():
        rules.append(_UNKNOWN_USER)
    problems = ", ".join(f"('{problem}', {condition}, ({detail})::text)" for problem, condition, detail in rules)
    any_of = " OR ".join(f"({condition})" for _, condition, _ in rules)
    return f"""
        SELECT '{table.name}', o.row_position, o.id, rule.problem, rule.detail FROM {table.staging_table} o
        CROSS JOIN LATERAL (VALUES {problems}) rule (problem, is_broken, detail) WHERE ({any_of}) AND rule.is_broken
    """


def _value_rules(table: Table) -> Iterator[tuple[str, str, str]]:
    """Rules for values that our columns cannot hold: missing values, long texts, dates out of range."""
    fields = {field.column: field for field in _MODELS[table.name]._meta.concrete_fields}
    for name, type_ in table.columns.items():
        if not fields[name].null:
            yield f"{name} is missing", f"o.{name} IS NULL", "NULL"
        if type_ == "text" and (max_length := fields[name].max_length):
            yield f"{name} is longer than {max_length}", f"length(o.{name}) > {max_length}", f"left(o.{name}, 40)"
        if type_ == "timestamp":
            in_range = f"o.{name} BETWEEN '0002-01-01' AND '9998-12-31'"
            yield f"{name} is out of range", f"NOT ({in_range})", f"o.{name}"


def _refers_to_users() -> bool:
    return bool(fetch_all("SELECT FROM pg_constraint WHERE conname = 'reservation_user'", {}))


def _orphans(table: Table, column: str, parent: str) -> str:
    return f"""
        SELECT '{table.name}', o.row_position, o.id, '{column} does not exist', o.{column}::text FROM {table.staging_table} o
        WHERE o.{column} IS NOT NULL AND NOT EXISTS (SELECT FROM legacy_import_{parent} p WHERE p.id = o.{column})
    """


def _duplicates(name: str, columns: str, order: str) -> str:
    """A SELECT of the rows that repeat unique values, except the first of each.

    Usually there are none, and no row is sorted.
    """
    staging_table = TABLES[name].staging_table
    return f"""
        SELECT '{name}', row_position, id, 'duplicate: {columns}', concat_ws(', ', {columns}) FROM (
            SELECT *, row_number() OVER (PARTITION BY {columns} ORDER BY {order}) AS rank FROM {staging_table} o
            JOIN (SELECT {columns} FROM {staging_table} GROUP BY {columns} HAVING count(*) > 1) repeated USING ({columns})
        ) ranked WHERE rank > 1
    """


def _dependent_rows() -> Iterator[str]:
    """SELECTs of the rows that cannot be imported because another row is invalid."""
    for table in TABLES.values():
        for column, parent in table.parents.items():
            yield f"""
                SELECT '{table.name}', o.row_position, o.id, 'its {column} is left out', o.{column}::text
                FROM {table.staging_table} o
                WHERE {is_valid(table.name, "o")} AND o.{column} IN (
                    SELECT f.id FROM {INVALID} f WHERE f.table_name = '{parent}' AND NOT EXISTS (
                        SELECT FROM legacy_import_{parent} p WHERE p.id = f.id AND {is_valid(parent, "p")}
                    )
                )
            """
    yield _INCOMPLETE_RESERVATIONS
    yield _SEATS_OF_INVALID_RESERVATIONS


def _mark_invalid(query: str) -> int:
    """Marks the rows of a SELECT of (table, row_position, id, problem, detail). Returns how many."""
    # Usually there are none, and unlike an INSERT a plain SELECT can use several cores.
    if not fetch_one(f"SELECT count(*) AS rows FROM ({query}) checked", {})["rows"]:
        return 0
    return execute(
        f"INSERT INTO {INVALID} (table_name, row_position, id, problem, detail) {query} ON CONFLICT DO NOTHING"
    )
