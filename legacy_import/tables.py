"""The old service's tables, as the plan has them, and what a row of theirs is here.

What is read from the old service stands in tables of ours until the move is over (`stage`): the old columns as they were,
and `place`, the row's number in the order in which it was read. Timestamps stay what the clock on the wall in Seoul showed
until a row is moved.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

TIME_ZONE = "Asia/Seoul"
LIVE = "('pending', 'confirmed')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that both services have under one name. `columns`: names and types, as the plan has them."""

    name: str
    columns: dict[str, str]
    # By this the old service is read, and so rows lie on disk here: those of one event together.
    order: str = "id"
    # Columns that refer to another table's id.
    parents: dict[str, str] = field(default_factory=dict)
    may_be_missing: bool = False

    @property
    def stage(self) -> str:
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
            may_be_missing=True,
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

# Which live reservation has which seat: (seat_id, reservation_id, seat_status). From it follow the seats' statuses.
HELD = "legacy_import_held"
# Rows that are left out: (table_name, place, id, reason, detail).
REFUSED = "legacy_import_refused"


def is_kept(table: str, alias: str) -> str:
    """The condition under which a row of the stage is moved."""
    return f"NOT EXISTS (SELECT FROM {REFUSED} f WHERE f.table_name = '{table}' AND f.place = {alias}.place)"


def kept(table: str) -> str:
    """The rows that are moved, as they are to be here, but for the time zone: a SELECT of `place` and the old columns.

    A seat's status is what its live reservation says.
    """
    if table == "seats":
        columns = _listed("o", (name for name in TABLES[table].columns if name != "status"))
        return (
            f"SELECT o.place, {columns}, coalesce(h.seat_status, 'available') AS status"
            f" FROM {TABLES[table].stage} o LEFT JOIN {HELD} h ON h.seat_id = o.id WHERE {is_kept(table, 'o')}"
        )
    columns = _listed("o", TABLES[table].columns)
    return f"SELECT o.place, {columns} FROM {TABLES[table].stage} o WHERE {is_kept(table, 'o')}"


def moved(table: str) -> str:
    """The rows of the table here, in the old service's columns and time zone: to be compared with `kept`."""
    columns = ", ".join(
        f"t.{name} AT TIME ZONE '{TIME_ZONE}' AS {name}" if type_ == "timestamp" else f"t.{name}"
        for name, type_ in TABLES[table].columns.items()
    )
    return f"SELECT {columns} FROM {table} t"


def values(table: str, alias: str, instead: dict[str, str] | None = None) -> str:
    """The old columns as they are written here, for a SELECT: moments with their zone; `instead` has expressions."""
    instead = instead or {}
    return ", ".join(
        instead.get(name)
        or (f"{alias}.{name} AT TIME ZONE '{TIME_ZONE}'" if type_ == "timestamp" else f"{alias}.{name}")
        for name, type_ in TABLES[table].columns.items()
    )


def _listed(alias: str, columns: Iterable[str]) -> str:
    return ", ".join(f"{alias}.{name}" for name in columns)
