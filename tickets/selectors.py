"""Reading ticket types."""

from collections.abc import Mapping
from uuid import UUID

from kernel.concurrency.batching import Batcher
from kernel.db.sql import fetch_all
from tickets.errors import TicketTypeNotFound

_AVAILABILITY = "SELECT id, available_quantity, total_quantity FROM ticket_types WHERE id = ANY(%(ids)s::uuid[])"


def _fetch_availability(ids: list[UUID]) -> list[Mapping[str, object] | None]:
    rows = {row.pop("id"): row for row in fetch_all(_AVAILABILITY, {"ids": ids})}
    return [rows.get(ticket_type_id) for ticket_type_id in ids]


_availability_batcher = Batcher(_fetch_availability)


def availability(ticket_type_id: UUID) -> Mapping[str, object]:
    """Return the available and the total quantity, never older than the last commit. Raises TicketTypeNotFound."""
    if (found := _availability_batcher.submit(ticket_type_id)) is None:
        raise TicketTypeNotFound
    return found
