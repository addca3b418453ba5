"""An organiser sells more tickets of a kind, or fewer, while buyers buy."""

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
    """From now on there are so many tickets in all; what is left follows, whatever is being sold meanwhile.

    Raises TicketTypeNotFound, or StockIsSold when more than that are held or sold.
    """
    changed = fetch_all(_CHANGE_TOTAL, {"ticket_type_id": ticket_type_id, "total": total})
    if not changed:
        there = (
            TicketType.objects.filter(id=ticket_type_id).values("name", "available_quantity", "total_quantity").first()
        )
        if there is None:
            raise TicketTypeNotFound
        raise StockIsSold(name=there["name"], taken=there["total_quantity"] - there["available_quantity"])
    for stock in changed:
        event_id = stock.pop("event_id")
        after_commit(effects.stock_has_changed, event_id=event_id, stock=[stock])
