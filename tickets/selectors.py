"""Reading ticket types."""

from collections.abc import Mapping
from uuid import UUID

from tickets.errors import TicketTypeNotFound
from tickets.models import TicketType


def availability(ticket_type_id: UUID) -> Mapping[str, object]:
    """How many are left of how many, straight from the database. Raises TicketTypeNotFound."""
    found = TicketType.objects.filter(id=ticket_type_id).values("available_quantity", "total_quantity").first()
    if found is None:
        raise TicketTypeNotFound
    return found
