"""Which rows of the stage can not be here, and why; and what hangs on them.

A reservation is moved whole or not at all. Of two that claim one thing (a seat, a place in the hall, a number) the first one
stays, a paid one before others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from events.models import Event, KeywordMapping, SeatLayout
from kernel.db.sql import fetch_all, fetch_one
from legacy_import.staging import run
from legacy_import.tables import HELD, LIVE, REFUSED, TABLES, Table, is_kept
from reservations.models import Reservation, ReservationItem
from seats.models import Seat
from tickets.models import TicketType

_MODELS: dict[str, type[Model]] = {
    model._meta.db_table: model
    for model in (SeatLayout, Event, TicketType, KeywordMapping, Seat, Reservation, ReservationItem)
}
# By table: (reason, condition, what is shown of the row).
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
# What may be there once: (table, columns, who stays).
_ONCE = [
    *((table, "id", "place") for table in TABLES),
    ("keyword_mappings", "korean, english", "created_at, place"),
    ("seats", "event_id, section, row_number, seat_number", "status = 'available', created_at, place"),
    ("reservations", "reservation_number", f"status IN {LIVE} DESC, created_at, place"),
]
_LIVE_ITEMS = f"""(
    SELECT i.seat_id, i.place, r.id AS reservation_id, r.status, r.created_at
    FROM legacy_import_reservation_items i JOIN legacy_import_reservations r ON r.id = i.reservation_id
    WHERE i.seat_id IS NOT NULL AND r.status IN {LIVE}
      AND {is_kept("reservation_items", "i")} AND {is_kept("reservations", "r")}
)"""
_TWO_OWNERS = f"""
SELECT 'reservations', r.place, r.id, 'a seat of it is in another live reservation',
       'seat ' || claim.seat_id || ' stays with ' || claim.winner
FROM (
    SELECT seat_id, reservation_id, first_value(reservation_id) OVER claims AS winner, row_number() OVER claims AS rank
    FROM {_LIVE_ITEMS} item
    WHERE seat_id IN (SELECT seat_id FROM {_LIVE_ITEMS} item GROUP BY seat_id HAVING count(*) > 1)
    WINDOW claims AS (PARTITION BY seat_id ORDER BY status = 'confirmed' DESC, created_at, place)
) claim JOIN legacy_import_reservations r ON r.id = claim.reservation_id WHERE claim.rank > 1
"""
_NOBODYS_SEATS = f"""
SELECT 'seats', o.place, o.id, 'locked or sold without a live reservation', o.status FROM legacy_import_seats o
WHERE o.status IN ('locked', 'reserved', 'sold') AND NOT EXISTS (
    SELECT FROM legacy_import_reservation_items i JOIN legacy_import_reservations r ON r.id = i.reservation_id
    WHERE i.seat_id = o.id AND r.status IN {LIVE}
)
"""
_SEATS_LEFT_BEHIND = f"""
SELECT 'seats', o.place, o.id, 'its reservation is left out', o.status FROM legacy_import_seats o
WHERE o.status IN ('locked', 'reserved', 'sold') AND {is_kept("seats", "o")}
  AND NOT EXISTS (SELECT FROM {_LIVE_ITEMS} item WHERE item.seat_id = o.id)
"""
_BROKEN_RESERVATIONS = f"""
SELECT 'reservations', o.place, o.id, 'an item of it is left out', o.reservation_number FROM legacy_import_reservations o
WHERE {is_kept("reservations", "o")} AND o.id IN (
    SELECT i.reservation_id FROM {REFUSED} f JOIN legacy_import_reservation_items i ON i.place = f.place
    WHERE f.table_name = 'reservation_items'
)
"""
_HELD = f"""
INSERT INTO {HELD} SELECT seat_id, reservation_id, CASE status WHEN 'confirmed' THEN 'sold' ELSE 'locked' END
FROM {_LIVE_ITEMS} item
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """Rows of one table of which the same is to be said."""

    table: str
    what: str
    rows: int
    examples: list[dict[str, Any]]  # {id, detail}


def refuse() -> list[Finding]:
    """Fills the tables of what is refused and of who has which seat. Returns what is refused, by table and reason."""
    for table in TABLES.values():
        _add(_single_rows(table))
        for column, parent in table.parents.items():
            _add(_orphans(table, column, parent))
    for name, columns, order in _ONCE:
        _add(_repeated(name, columns, order))
    _add(_TWO_OWNERS)
    _add(_NOBODYS_SEATS)
    if fetch_all(f"SELECT FROM {REFUSED} LIMIT 1", {}):
        while sum(map(_add, _hanging())):
            pass
    run(_HELD)
    return findings(f"SELECT table_name, reason AS what, id, detail FROM {REFUSED}")


def findings(query: str) -> list[Finding]:
    """Groups what a SELECT of (table_name, what, id, detail) finds; five examples of each."""
    grouped = fetch_all(
        "SELECT table_name, what, count(*) AS rows, "
        "to_jsonb((array_agg(jsonb_build_object('id', id, 'detail', detail) ORDER BY id))[:5]) AS examples "
        f"FROM ({query}) found GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2",
        {},
    )
    return [Finding(row["table_name"], row["what"], row["rows"], row["examples"]) for row in grouped]


def _single_rows(table: Table) -> str:
    """What can be judged by looking at one row: a SELECT of the rows to refuse."""
    rules = [*_value_rules(table), *_RULES.get(table.name, [])]
    if table.name == "reservations" and _refers_to_users():
        rules.append(_UNKNOWN_USER)
    reasons = ", ".join(f"('{reason}', {condition}, ({shown})::text)" for reason, condition, shown in rules)
    any_of = " OR ".join(f"({condition})" for _, condition, _ in rules)
    return f"""
        SELECT '{table.name}', o.place, o.id, rule.reason, rule.shown FROM {table.stage} o
        CROSS JOIN LATERAL (VALUES {reasons}) rule (reason, is_broken, shown) WHERE ({any_of}) AND rule.is_broken
    """


def _value_rules(table: Table) -> Iterator[tuple[str, str, str]]:
    """What our columns can not hold: nothing where something must be, texts too long, moments without a date."""
    fields = {field.column: field for field in _MODELS[table.name]._meta.concrete_fields}
    for name, type_ in table.columns.items():
        if not fields[name].null:
            yield f"{name} is missing", f"o.{name} IS NULL", "NULL"
        if type_ == "text" and (longest := fields[name].max_length):
            yield f"{name} is longer than {longest}", f"length(o.{name}) > {longest}", f"left(o.{name}, 40)"
        if type_ == "timestamp":
            possible = f"o.{name} BETWEEN '0002-01-01' AND '9998-12-31'"
            yield f"{name} is impossible", f"NOT ({possible})", f"o.{name}"


def _refers_to_users() -> bool:
    return bool(fetch_all("SELECT FROM pg_constraint WHERE conname = 'reservation_user'", {}))


def _orphans(table: Table, column: str, parent: str) -> str:
    return f"""
        SELECT '{table.name}', o.place, o.id, '{column} does not exist', o.{column}::text FROM {table.stage} o
        WHERE o.{column} IS NOT NULL AND NOT EXISTS (SELECT FROM legacy_import_{parent} p WHERE p.id = o.{column})
    """


def _repeated(name: str, columns: str, order: str) -> str:
    """All but the first of those that have the same. Most often there is none, and no row is sorted."""
    stage = TABLES[name].stage
    return f"""
        SELECT '{name}', place, id, 'repeated: {columns}', concat_ws(', ', {columns}) FROM (
            SELECT *, row_number() OVER (PARTITION BY {columns} ORDER BY {order}) AS rank FROM {stage} o
            JOIN (SELECT {columns} FROM {stage} GROUP BY {columns} HAVING count(*) > 1) twice USING ({columns})
        ) ranked WHERE rank > 1
    """


def _hanging() -> Iterator[str]:
    """What can not be moved because something else is not."""
    for table in TABLES.values():
        for column, parent in table.parents.items():
            yield f"""
                SELECT '{table.name}', o.place, o.id, 'its {column} is left out', o.{column}::text FROM {table.stage} o
                WHERE {is_kept(table.name, "o")} AND o.{column} IN (
                    SELECT f.id FROM {REFUSED} f WHERE f.table_name = '{parent}' AND NOT EXISTS (
                        SELECT FROM legacy_import_{parent} p WHERE p.id = f.id AND {is_kept(parent, "p")}
                    )
                )
            """
    yield _BROKEN_RESERVATIONS
    yield _SEATS_LEFT_BEHIND


def _add(query: str) -> int:
    """Refuses what a SELECT of (table, place, id, reason, detail) finds. Returns how many rows."""
    # Most often it finds nothing, and unlike an INSERT a SELECT by itself may use several cores.
    if not fetch_one(f"SELECT count(*) AS rows FROM ({query}) found", {})["rows"]:
        return 0
    return run(f"INSERT INTO {REFUSED} (table_name, place, id, reason, detail) {query} ON CONFLICT DO NOTHING")
