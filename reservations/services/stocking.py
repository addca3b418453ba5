"""Changing how many tickets of a type found are, during the sale."""

from typing import Any
from uuid import UUID

from kernel.db.sql import fetch_all
from reservations.errors import StockIsSold
from reservations.services import offering
from reservations.services.releasing import expire_holders, publish_released
from tickets.errors import TicketTypeNotFound

# `locked` sees the stock after any wait, and `changed` computes from it, as in `reserving_tickets`.
_CHANGE_TOTAL = f"""
WITH locked AS MATERIALIZED (
    SELECT id, name, total_quantity - available_quantity AS taken FROM ticket_types WHERE id = %(ticket_type_id)s FOR UPDATE
),
changed AS (
    UPDATE ticket_types t SET available_quantity = %(total)s - l.taken, total_quantity = %(total)s, updated_at = now()
    FROM locked l WHERE t.id = l.id AND l.taken <= %(total)s
    RETURNING t.id, t.event_id, t.available_quantity, t.total_quantity, nextval('change_number') AS change
),
{offering.released(seats=None, types="changed", after=("changed",))}
SELECT l.name, l.taken, (SELECT jsonb_agg(to_jsonb(changed)) FROM changed) AS stock, NULL AS seats, {offering.OFFERS}
FROM locked l
"""


def change_total(*, ticket_type_id: UUID, total: int) -> None:
    """Changes the total of a ticket type, and its available quantity by as much.

    Raises TicketTypeNotFound, or StockIsSold when more than `total` are reserved or sold. One statement; two more when holds
    past their deadline may be in the way.
    """
    row = _change_total(ticket_type_id=ticket_type_id, total=total)
    if row["stock"] is None and expire_holders(ticket_type_ids=[ticket_type_id]):
        row = _change_total(ticket_type_id=ticket_type_id, total=total)
    if row["stock"] is None:
        raise StockIsSold(name=row["name"], taken=row["taken"])
    publish_released(row)


def _change_total(*, ticket_type_id: UUID, total: int) -> dict[str, Any]:
    rows = fetch_all(_CHANGE_TOTAL, {"ticket_type_id": ticket_type_id, "total": total, **offering.parameters()})
    if not rows:
        raise TicketTypeNotFound
    return rows[0]
