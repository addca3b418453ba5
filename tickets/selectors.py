"""Reading ticket types."""

from collections.abc import Mapping
from uuid import UUID

from kernel.database import fetch_all
from tickets.errors import TicketTypeNotFound

_AVAILABILITY = "SELECT available_quantity, total_quantity FROM ticket_types WHERE id = %(id)s"


def availability(ticket_type_id: UUID) -> Mapping[str, object]:
    """How many are left of how many, straight from the database. Raises TicketTypeNotFound."""
    found = fetch_all(_AVAILABILITY, {"id": ticket_type_id})
    if not found:
        raise TicketTypeNotFound
    return found[0]
