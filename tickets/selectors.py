"""Reading ticket types."""

from collections.abc import Mapping
from uuid import UUID

from kernel.concurrency.batching import Batcher
from kernel.db.sql import fetch_all
from tickets.errors import TicketTypeNotFound

_AVAILABILITY = "SELECT id, available_quantity, total_quantity FROM ticket_types WHERE id = ANY(%(ids)s::uuid[])"


def _look_up(ids: list[UUID]) -> list[Mapping[str, object] | None]:
    rows = {row.pop("id"): row for row in fetch_all(_AVAILABILITY, {"ids": ids})}
    return [rows.get(ticket_type_id) for ticket_type_id in ids]


_all_who_ask = Batcher(_look_up)


def availability(ticket_type_id: UUID) -> Mapping[str, object]:
    """How many are left of how many, straight from the database. Raises TicketTypeNotFound."""
    if (found := _all_who_ask.ask(ticket_type_id)) is None:
        raise TicketTypeNotFound
    return found
