"""One sale, of an event of its own, and what can be done with it. Each operation gives its answer in short."""

from dataclasses import dataclass
from typing import Any

from tests.support.harness import INTERNAL, Answer, Api, Database, new_user


@dataclass
class Sale:
    """A reservation of one seat (1,000), or of three of ten tickets (3,000): all that is sold of an event."""

    api: Api
    world: Database
    kind: str  # seat or tickets
    event: str = ""
    place: str = ""
    user: str = ""
    id: str = ""

    def begin(self, state: str) -> "Sale":
        """`state`: pending, paid, or due (past its deadline)."""
        self.event, self.user = self.world.add_event(), new_user()
        if self.kind == "seat":
            self.place = self.world.one("SELECT id::text FROM seats WHERE event_id = %s", self.event)
            made = self.api.reserve(self.user, self.event, self.place)
        else:
            self.place = add_ticket_type(self.world, self.event)
            made = self.api.buy(self.user, self.event, **{self.place: 3})
        self.id = made.json["reservation"]["id"]
        if state == "paid":
            assert pay(self) == 200
        elif state == "due":
            self.world.expire(self.id)
        return self

    @property
    def amount(self) -> int:
        return 3000 if self.kind == "tickets" else 1000

    @property
    def held_at(self) -> tuple[str, str]:
        return "seats" if self.kind == "seat" else "ticket_types", self.place

    @property
    def end(self) -> tuple[str, str, bool, str]:
        """Status, payment status, whether money is to be given back; and what has become of the place."""
        columns = "SELECT status, payment_status, refund_due_at IS NOT NULL AS is_due FROM reservations WHERE id = %s"
        (row,) = self.world.rows(columns, self.id)
        live = self.world.one("SELECT count(*) FROM reservation_items WHERE reservation_id = %s AND is_live", self.id)
        assert live == (row["status"] in ("pending", "confirmed"))
        if self.kind == "seat":
            place = self.world.one("SELECT status FROM seats WHERE id = %s", self.place)
        else:
            (stock,) = self.world.rows(
                "SELECT available_quantity, total_quantity FROM ticket_types WHERE id = %s", self.place
            )
            place = "available" if tuple(stock.values()) == (10, 10) else str(stock)
        return row["status"], row["payment_status"], row["is_due"], place


def add_ticket_type(world: Database, event_id: str) -> str:
    return world.one(
        "INSERT INTO ticket_types (event_id, name, price, total_quantity, available_quantity)"
        " VALUES (%s, 'T', 1000, 10, 10) RETURNING id::text",
        event_id,
    )


# --- What can be done with a reservation; each gives its answer in short ------------------------------------------------


def in_short(answer: Answer) -> Any:
    if answer.status == 200:
        return 200
    return answer.status, answer.json.get("code") or answer.json.get("error") or answer.json.get("message")


def pay(sale: Sale, payment: str = "") -> Any:
    return in_short(sale.api.confirm(sale.id, sale.amount, payment or f"of {sale.id}"))


def pay_otherwise(sale: Sale) -> Any:
    return pay(sale, new_user())


def cancel(sale: Sale) -> Any:
    return in_short(sale.api.cancel(sale.user, sale.id))


def refund(sale: Sale) -> Any:
    return in_short(sale.api.refund(sale.id))


def call_off(sale: Sale) -> Any:
    """Cancels the event. How many reservations that has ended."""
    answer = sale.api.post(f"/internal/events/{sale.event}/cancel", headers=INTERNAL)
    return answer.json["cancelledReservations"]


def sweep(sale: Sale) -> Any:
    """How many holds that has ended."""
    from reservations.services import expire_due

    return expire_due(limit=100)


# --- Three places at once ----------------------------------------------------------------------------------------------


@dataclass
class LargeSale(Sale):
    """The same of three places, which are asked for from the last to the first."""

    amount = 3000

    def begin(self, state: str) -> "LargeSale":
        self.event, self.user = self.world.add_event(), new_user()
        self.world.rows("UPDATE events SET max_seats_per_reservation = 3 WHERE id = %s", self.event)
        if self.kind == "seat":
            self.world.rows(
                "INSERT INTO seats (event_id, section, row_number, seat_number, seat_label, price)"
                " VALUES (%s, 'R', 1, 2, 'R-1-2', 1000), (%s, 'R', 1, 3, 'R-1-3', 1000)",
                self.event,
                self.event,
            )
        else:
            for _ in range(3):
                add_ticket_type(self.world, self.event)
        table = "seats" if self.kind == "seat" else "ticket_types"
        found = self.world.rows(f"SELECT id::text FROM {table} WHERE event_id = %s ORDER BY id", self.event)
        self.places = [row["id"] for row in found]
        self.place = self.places[0]
        if state != "free":
            self.id = self.sell(self.user).json["reservation"]["id"]
        if state == "paid":
            assert pay(self) == 200
        elif state == "due":
            self.world.expire(self.id)
        return self

    def sell(self, user: str) -> Answer:
        wanted = reversed(self.places)
        if self.kind == "seat":
            return self.api.reserve(user, self.event, *wanted)
        return self.api.buy(user, self.event, **dict.fromkeys(wanted, 1))


def sell(sale: LargeSale) -> int:
    """To another buyer."""
    return sale.sell(new_user()).status


def drop(sale: LargeSale) -> Any:
    """All seats of the reservation but the last."""
    kept = {"seatIds": sale.places[-1:]}
    return in_short(sale.api.post(f"/reservations/{sale.id}/seats", kept, user=sale.user))
