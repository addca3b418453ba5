"""Random seat maps, and what the best seats of one are, found by looking at every possibility."""

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.support.harness import Database

HALL = [  # 5,000 seats
    {"name": "R", "rows": 25, "seatsPerRow": 40, "price": 90_000, "aisles": [10, 30], "accessible": [{"row": 25}]},
    {"name": "S", "rows": 50, "seatsPerRow": 40, "price": 70_000, "startRow": 26, "aisles": [20]},
    {"name": "A", "rows": 50, "seatsPerRow": 40, "price": 50_000, "x": 0, "y": 80},
]


@dataclass(frozen=True)
class Seat:
    id: str
    section: str
    row: int
    block: int
    position: int
    x: float
    y: float
    price: int
    accessible: bool


@dataclass(frozen=True)
class Wanted:
    quantity: int
    section: str | None = None
    max_price: int | None = None
    accessible: bool = False
    closed: tuple[str, ...] = ()

    def is_met_by(self, seat: Seat) -> bool:
        return (
            self.section in (None, seat.section)
            and (self.max_price is None or seat.price <= self.max_price)
            and seat.accessible == self.accessible
            and seat.id not in self.closed
        )


Rank = tuple[int, int, int, float]  # rows, whether they are apart, orphans, cost


def add_hall(world: Database, sections: Sequence[dict] = HALL) -> tuple[str, list[Seat]]:
    """An event on sale with the seats of the layout."""
    from seats.services import generate_seats
    from tests.support.seat_layouts import new_event

    event = new_event(world, layout={"sections": sections})
    generate_seats(event_id=event)
    world.rows("UPDATE events SET max_seats_per_reservation = 100, max_tickets_per_buyer = 100 WHERE id = %s", event)
    rows = world.rows(
        "SELECT id::text, section, row_number AS row, block, position, x, y, price, accessible FROM seats"
        " WHERE event_id = %s",
        event,
    )
    return str(event), [Seat(**row) for row in rows]


def sell(world: Database, event: str, sold: Sequence[str]) -> None:
    """Exactly these seats of the event are sold, to nobody."""
    with world.without_triggers():
        world.rows(
            "UPDATE seats SET status = CASE WHEN id = ANY(%s::uuid[]) THEN 'sold' ELSE 'available' END"
            " WHERE event_id = %s AND (status = 'sold') <> (id = ANY(%s::uuid[]))",
            list(sold),
            event,
            list(sold),
        )


def runs(seats: Sequence[Seat]) -> Iterator[list[Seat]]:
    """Seats that stand side by side, as many as there are."""
    by_row = defaultdict(list)
    for seat in seats:
        by_row[seat.section, seat.row, seat.block].append(seat)
    for row in by_row.values():
        row.sort(key=lambda seat: seat.position)
        run = row[:1]
        for seat in row[1:]:
            if seat.position != run[-1].position + 1:
                yield run
                run = []
            run.append(seat)
        yield run


class SeatMap:
    """The available seats of an event, and every choice that there is among them."""

    def __init__(self, free: Sequence[Seat]) -> None:
        self.free = free
        self.runs = list(runs(free))
        self.places = {(seat.section, seat.row, seat.block, seat.position) for seat in free}

    def orphans(self, choice: Sequence[Seat]) -> int:
        """How many seats stand alone after this choice, and did not before."""
        gone = {(seat.section, seat.row, seat.block, seat.position) for seat in choice}
        touched = {place for taken in gone for place in neighbours(taken)} & self.places - gone
        return sum(not (neighbours(place) & self.places) - gone for place in touched)

    def rank(self, choice: Sequence[Seat]) -> Rank:
        parts = list(runs(choice))
        apart = int(len(parts) == 2 and not are_behind_one_another(*parts))
        return len(parts), apart, self.orphans(choice), sum(seat.x**2 + seat.y**2 for seat in choice)

    def choices(self, wanted: Wanted, size: int) -> Iterator[tuple[int, list[Seat]]]:
        """So many neighbours, with the number of the run that they are in."""
        for number, run in enumerate(self.runs):
            for first in range(len(run) - size + 1):
                choice = run[first : first + size]
                if all(wanted.is_met_by(seat) for seat in choice):
                    yield number, choice

    def best_rank(self, wanted: Wanted) -> Rank | None:
        if whole := [self.rank(choice) for _, choice in self.choices(wanted, wanted.quantity)]:
            return min(whole)
        ranked = {
            size: [(run, choice, self.rank(choice)) for run, choice in self.choices(wanted, size)]
            for size in range(1, wanted.quantity)
        }
        return min(
            (
                # Two runs have no neighbours in common.
                (2, int(not are_behind_one_another(one, other)), first[2] + second[2], first[3] + second[3])
                for size in range(1, wanted.quantity // 2 + 1)
                for (run, one, first), (other_run, other, second) in itertools.product(
                    ranked[size], ranked[wanted.quantity - size]
                )
                if run != other_run
            ),
            default=None,
        )


Place = tuple[str, int, int, int]


def neighbours(place: Place) -> set[Place]:
    section, row, block, position = place
    return {(section, row, block, position - 1), (section, row, block, position + 1)}


def are_behind_one_another(one: Sequence[Seat], other: Sequence[Seat]) -> bool:
    first, second = one[0], other[0]
    return (first.section, first.block) == (second.section, second.block) and abs(first.row - second.row) == 1


def random_wish(chance: random.Random, free: Sequence[Seat]) -> Wanted:
    return Wanted(
        quantity=chance.choice((1, 1, 2, 2, 2, 3, 4, 4, 5, 6, 7, 8)),
        section=chance.choice((None, None, "R", "S", "A")),
        max_price=chance.choice((None, None, None, 70_000, 50_000)),
        accessible=chance.random() < 0.1,
        closed=tuple(seat.id for seat in chance.sample(free, 10)) if chance.random() < 0.2 else (),
    )


def ask_for_best(world: Database, event: str, wanted: Wanted) -> list[str] | None:
    """What PostgreSQL chooses."""
    return world.one(
        "SELECT chosen::text[] FROM best_seats(%s, %s, %s, %s, %s, %s::uuid[], '{}', '{}', 0, 0, true)",
        event,
        wanted.quantity,
        wanted.section,
        wanted.max_price,
        wanted.accessible,
        list(wanted.closed),
    )


def layout_of(*rows: str, price: int = 1000) -> list[dict]:
    """A section of as many rows, named R, with a seat for each character."""
    return [{"name": "R", "rows": len(rows), "seatsPerRow": len(rows[0]), "price": price}]


def add_rows(world: Database, *rows: str) -> tuple[str, dict[str, str]]:
    """An event whose rows look so (`.` is available, `x` sold); its seats' ids by label."""
    event, seats = add_hall(world, layout_of(*rows))
    sell(world, event, [seat.id for seat in seats if rows[seat.row - 1][seat.position - 1] == "x"])
    labels = world.rows("SELECT id::text, seat_label FROM seats WHERE event_id = %s", event)
    return event, {row["seat_label"]: row["id"] for row in labels}
