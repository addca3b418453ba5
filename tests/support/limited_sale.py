"""An event with seats and tickets of which a buyer may have only so many, and the clock of a buyer's past."""

from dataclasses import dataclass

from tests.support.harness import Database
from tests.support.one_sale import add_ticket_type


@dataclass
class LimitedSale:
    event: str
    seats: list[str]  # in the order of their numbers, 1,000 each
    tickets: str  # a ticket type, 1,000 each


def limited_sale(world: Database, *, seats: int = 12, tickets: int = 100, most: int | None = 4) -> LimitedSale:
    """`most` is the event's own limit; None: the default."""
    event = world.add_event()
    world.rows("UPDATE events SET max_tickets_per_buyer = %s, max_seats_per_reservation = 4 WHERE id = %s", most, event)
    world.rows(
        "INSERT INTO seats (event_id, section, row_number, seat_number, seat_label, price)"
        " SELECT %s, 'R', 1, n, 'R-1-' || n, 1000 FROM generate_series(2, %s) n",
        event,
        seats,
    )
    kind = add_ticket_type(world, event)
    world.rows(
        "UPDATE ticket_types SET total_quantity = %s, available_quantity = %s WHERE id = %s", tickets, tickets, kind
    )
    found = world.rows("SELECT id::text FROM seats WHERE event_id = %s ORDER BY seat_number", event)
    return LimitedSale(event, [row["id"] for row in found], kind)


def let_time_pass(world: Database, user: str, seconds: float) -> None:
    """Everything that the user has reserved was reserved, and let go of, so much earlier."""
    world.rows(
        "UPDATE reservations SET created_at = created_at - past, updated_at = updated_at - past,"
        " expires_at = expires_at - past, held_until = held_until - past, dropped_seats = ("
        "   SELECT jsonb_object_agg(key, value::timestamptz - past) FROM jsonb_each_text(dropped_seats)"
        " ) FROM (SELECT make_interval(secs => %s) AS past) shift WHERE user_id = %s",
        seconds,
        user,
    )


def held(world: Database, user: str, event: str) -> int:
    """Seats and tickets of the user's live reservations."""
    return world.one(
        "SELECT coalesce(sum(i.quantity), 0)::int FROM reservations r JOIN reservation_items i ON i.reservation_id = r.id"
        " WHERE r.user_id = %s AND r.event_id = %s AND r.status IN ('pending', 'confirmed')",
        user,
        event,
    )
