"""An event with a waiting list that is sold out, and the steps of those who wait for its places."""

from dataclasses import dataclass, field
from typing import Any

from tests.support.harness import Answer, Api, Database, new_user
from tests.support.one_sale import add_ticket_type


@dataclass
class SoldOut:
    """`seats` are in the order of their numbers, `holders` and `holds` in that of the seats. All of them are pending."""

    event: str
    seats: list[str]
    tickets: str
    holders: list[str] = field(default_factory=list)
    holds: list[str] = field(default_factory=list)


def sold_out(
    world: Database, api: Api, *, seats: int = 4, tickets: int = 0, rows: int = 1, has_waiting_room: bool = True
) -> SoldOut:
    """Each seat is held by a buyer of its own. Up to four seats at once and ten places for a buyer."""
    event = world.add_event()
    if not has_waiting_room:
        world.rows("INSERT INTO queue_policies (event_id, is_on) VALUES (%s, false)", event)
    layout = world.one(
        "INSERT INTO seat_layouts (name, total_seats, layout_config) VALUES ('R', %s, '{\"sections\": []}') RETURNING id",
        seats,
    )
    world.rows(
        "UPDATE events SET has_waitlist = true, max_seats_per_reservation = 4, seat_layout_id = %s WHERE id = %s",
        layout,
        event,
    )
    world.rows("DELETE FROM seats WHERE event_id = %s", event)
    world.rows(
        "INSERT INTO seats (event_id, section, row_number, seat_number, seat_label, price)"
        " SELECT %s, 'R', 1 + (n - 1) / %s, n, 'R-1-' || n, 1000 FROM generate_series(1, %s) n",
        event, max(1, seats // rows), seats,
    )  # fmt: skip
    kind = add_ticket_type(world, event)
    world.rows(
        "UPDATE ticket_types SET total_quantity = %s, available_quantity = %s WHERE id = %s", tickets, tickets, kind
    )
    found = world.rows("SELECT id::text FROM seats WHERE event_id = %s ORDER BY seat_number", event)
    sale = SoldOut(event, [row["id"] for row in found], kind)
    for seat in sale.seats:
        holder = new_user()
        sale.holders.append(holder)
        sale.holds.append(hold(api.reserve(holder, event, seat)))
    return sale


def hold(answer: Answer) -> str:
    assert answer.status == 201, answer.json
    reservation_id: str = answer.json["reservation"]["id"]
    return reservation_id


def pay(api: Api, answer: Answer) -> str:
    """Confirms what the answer has reserved; its id."""
    reservation = answer.json["reservation"]
    assert api.confirm(reservation["id"], reservation["totalAmount"]).status == 200
    return str(reservation["id"])


def join(api: Api, user: str, event: str, quantity: int = 1, **wish: Any) -> Answer:
    return api.post(f"/waitlist/{event}", {"quantity": quantity, **wish}, user=user)


def waiting(api: Api, event: str, count: int = 1, quantity: int = 1, **wish: Any) -> list[str]:
    """So many newcomers, in their order."""
    users = [new_user() for _ in range(count)]
    for user in users:
        answer = join(api, user, event, quantity, **wish)
        assert answer.status == 201, answer.json
    return users


def place(api: Api, user: str, event: str) -> dict[str, Any]:
    answer = api.get(f"/waitlist/{event}", user=user)
    assert answer.status == 200, answer.json
    found: dict[str, Any] = answer.json["waitlist"]
    return found


def state(api: Api, user: str, event: str) -> str:
    found: str = place(api, user, event)["state"]
    return found


def leave(api: Api, user: str, event: str) -> Answer:
    return api.post(f"/waitlist/{event}/leave", user=user)


def offered_seats(world: Database, user: str, event: str) -> list[str]:
    """The seats that are pending for the user, by their numbers."""
    rows = world.rows(
        "SELECT s.id::text FROM reservations r JOIN reservation_items i ON i.reservation_id = r.id"
        " JOIN seats s ON s.id = i.seat_id WHERE r.user_id = %s AND r.event_id = %s AND r.status = 'pending'"
        " ORDER BY s.row_number, s.seat_number",
        user,
        event,
    )
    return [row["id"] for row in rows]


def add_seat(world: Database, event: str) -> str:
    """The seat R-9-9, free, as a stranger would add it; its id."""
    return world.one(
        "INSERT INTO seats (event_id, section, row_number, seat_number, seat_label, price)"
        " VALUES (%s, 'R', 9, 9, 'R-9-9', 1000) RETURNING id::text",
        event,
    )
