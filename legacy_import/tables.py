"""The old service's tables as the plan describes them, and how their rows map to ours.

A staging table has the old columns unchanged, and `row_position`, the number of the row in the order in which it was read.
Timestamps there are local time in Seoul, without a zone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

TIME_ZONE = "Asia/Seoul"
LIVE = "('pending', 'confirmed')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that has the same name in both services. `columns`: names and types from the plan."""

    name: str
    columns: dict[str, str]
    # The order of reading, and so of rows on disk here: the rows of an event are adjacent.
    order: str = "id"
    # Foreign keys: column to table.
    parents: dict[str, str] = field(default_factory=dict)
    is_optional: bool = False

    @property
    def staging_table(self) -> str:
        return f"legacy_import_{self.name}"

    @property
    def column_list(self) -> str:
        return ", ".join(self.columns)

    def of_type(self, *types: str) -> list[str]:
        return [name for name, type_ in self.columns.items() if type_ in types]


def _columns(described: str) -> dict[str, str]:
    """`id:uuid title:text ...`"""
    return dict(part.split(":", 1) for part in described.split())


TABLES = {
    table.name: table
    for table in (
        Table(
            name="seat_layouts",
            columns=_columns(
                "id:uuid name:text description:text total_seats:integer layout_config:jsonb"
                " created_at:timestamp updated_at:timestamp"
            ),
        ),
        Table(
            name="events",
            columns=_columns(
                "id:uuid title:text description:text venue:text address:text event_date:timestamp"
                " sale_start_date:timestamp sale_end_date:timestamp poster_image_url:text status:text artist_name:text"
                " seat_layout_id:uuid created_at:timestamp updated_at:timestamp"
            ),
            parents={"seat_layout_id": "seat_layouts"},
        ),
        Table(
            name="ticket_types",
            columns=_columns(
                "id:uuid event_id:uuid name:text price:integer total_quantity:integer available_quantity:integer"
                " description:text created_at:timestamp updated_at:timestamp"
            ),
            order="event_id, id",
            parents={"event_id": "events"},
        ),
        Table(
            name="keyword_mappings",
            columns=_columns("id:uuid korean:text english:text entity_type:text created_at:timestamp"),
            is_optional=True,
        ),
        Table(
            name="seats",
            columns=_columns(
                "id:uuid event_id:uuid section:text row_number:integer seat_number:integer seat_label:text price:integer"
                " status:text created_at:timestamp updated_at:timestamp"
            ),
            order="event_id, id",
            parents={"event_id": "events"},
        ),
        Table(
            name="reservations",
            columns=_columns(
                "id:uuid user_id:uuid event_id:uuid reservation_number:text total_amount:integer status:text"
                " payment_status:text payment_method:text expires_at:timestamp created_at:timestamp updated_at:timestamp"
            ),
            order="event_id, created_at, id",
            parents={"event_id": "events"},
        ),
        Table(
            name="reservation_items",
            columns=_columns(
                "id:uuid reservation_id:uuid ticket_type_id:uuid seat_id:uuid quantity:integer unit_price:integer"
                " subtotal:integer created_at:timestamp"
            ),
            order="reservation_id, id",
            parents={"reservation_id": "reservations", "ticket_type_id": "ticket_types", "seat_id": "seats"},
        ),
    )
}

# Seats of live reservations: (seat_id, reservation_id, seat_status). Determines the seats' statuses.
LIVE_SEATS = "legacy_import_live_seats"
# Rows that are left out: (table_name, row_position, id, problem, detail).
INVALID = "legacy_import_invalid"


def is_valid(table: str, alias: str) -> str:
    """The SQL condition that a staged row is valid."""
    return (
        f"NOT EXISTS (SELECT FROM {INVALID} f WHERE f.table_name = '{table}' AND f.row_position = {alias}.row_position)"
    )


def valid_rows(table: str) -> str:
    """A SELECT of `row_position` and the old columns of the valid rows, in the old time zone.

    A seat's status is that of its live reservation.
    """
    if table == "seats":
        columns = _listed("o", (name for name in TABLES[table].columns if name != "status"))
        return (
            f"SELECT o.row_position, {columns}, coalesce(l.seat_status, 'available') AS status"
            f" FROM {TABLES[table].staging_table} o LEFT JOIN {LIVE_SEATS} l ON l.seat_id = o.id"
            f" WHERE {is_valid(table, 'o')}"
        )
    columns = _listed("o", TABLES[table].columns)
    return f"SELECT o.row_position, {columns} FROM {TABLES[table].staging_table} o WHERE {is_valid(table, 'o')}"


def imported_rows(table: str) -> str:
    """A SELECT of the imported rows in the old columns and time zone, to compare with `valid_rows`."""
    columns = ", ".join(
        f"t.{name} AT TIME ZONE '{TIME_ZONE}' AS {name}" if type_ == "timestamp" else f"t.{name}"
        for name, type_ in TABLES[table].columns.items()
    )
    return f"SELECT {columns} FROM {table} t"


def column_values(table: str, alias: str, overrides: dict[str, str] | None = None) -> str:
    """A SELECT list of the old columns as they are written here: timestamps get their zone. `overrides`: expressions."""
    overrides = overrides or {}
    return ", ".join(
        overrides.get(name)
        or (f"{alias}.{name} AT TIME ZONE '{TIME_ZONE}'" if type_ == "timestamp" else f"{alias}.{name}")
        for name, type_ in TABLES[table].columns.items()
    )


def _listed(alias: str, columns: Iterable[str]) -> str:
    return ", ".join(f"{alias}.{name}" for name in columns)
