"""Changing how many tickets of a type found are, during the sale."""

from uuid import UUID

from kernel.db.sql import after_commit, fetch_all
from reservations import effects
from reservations.errors import StockIsSold
from tickets.errors import TicketTypeNotFound
from tickets.models import TicketType

_CHANGE_TOTAL = """
UPDATE ticket_types SET available_quantity = available_quantity + %(total)s - total_quantity, total_quantity = %(total)s,
    updated_at = now()
WHERE id = %(ticket_type_id)s AND available_quantity + %(total)s - total_quantity >= 0
RETURNING id, event_id, available_quantity, total_quantity, nextval('change_number') AS change
"""


def change_total(*, ticket_type_id: UUID, total: int) -> None:
    """Changes the total of a ticket type, and its available quantity by as much.

    Raises TicketTypeNotFound, or StockIsSold when more than `total` are reserved or sold.
    """
    changed = fetch_all(_CHANGE_TOTAL, {"ticket_type_id": ticket_type_id, "total": total})
    if not changed:
        found = (
            TicketType.objects.filter(id=ticket_type_id).values("name", "available_quantity", "total_quantity").first()
        )
        if found is None:
            raise TicketTypeNotFound
        raise StockIsSold(name=found["name"], taken=found["total_quantity"] - found["available_quantity"])
    for stock in changed:
        event_id = stock.pop("event_id")
        after_commit(effects.stock_was_changed, event_id=event_id, stock=[stock])
