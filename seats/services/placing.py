"""Where seats are: the columns `x`, `y`, `block`, `position` and `accessible`, from the layout."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from events.errors import ImpossibleLayout
from events.models import SeatLayout
from events.services.layouts import AISLE_WIDTH, AccessibleSeats, Section, sections_of
from events.services.seat_plan import places_of
from kernel.db.sql import fetch_one
from seats.models import Seat

AT_ONCE = 1_000  # seats that a buyer may have to wait for, for some 20 ms


@dataclass(frozen=True, slots=True)
class SeatRange:
    """The seats from `first_seat` to `last_seat` of the rows from `first_row` to `last_row` of a section.

    `left_side` and `front` are those of the section, whose first row is `start_row`.
    """

    section: str
    first_row: int
    last_row: int
    first_seat: int
    last_seat: int
    price: int
    left_side: float
    front: float
    start_row: int
    aisles: Sequence[int]
    accessible: Sequence[AccessibleSeats]

    @property
    def seats(self) -> int:
        return (self.last_row - self.first_row + 1) * (self.last_seat - self.first_seat + 1)


# Of a list of ranges, `b` in what follows; `r` is the number of a seat's row, and `n` its own.
RANGES = """jsonb_to_recordset(%(ranges)s::jsonb) AS b (
        section text, first_row int, last_row int, first_seat int, last_seat int, price int,
        left_side float8, front float8, start_row int, aisles int[], accessible jsonb
    )"""
COLUMNS = "x, y, block, position, accessible"
PLACE = f"""b.left_side + n - 0.5 + {AISLE_WIDTH} * width_bucket(n - 1, b.aisles), b.front + r - b.start_row + 0.5,
    1 + width_bucket(n - 1, b.aisles), n,
    b.accessible <> '[]' AND EXISTS (
        SELECT FROM jsonb_to_recordset(b.accessible) AS a ("row" int, first int, last int)
        WHERE a."row" = r AND n BETWEEN a.first AND a.last
    )"""


def ranges_of(sections: Sequence[Section], *, most: int) -> Iterator[SeatRange]:
    """The sections in ranges of at most `most` seats."""
    for section, (left_side, front) in zip(sections, places_of(sections), strict=True):
        rows = max(1, most // section.seats_per_row)
        for first_row in range(section.start_row, section.last_row + 1, rows):
            last_row = min(first_row + rows - 1, section.last_row)
            accessible = [seats for seats in section.accessible if first_row <= seats.row <= last_row]
            for first_seat in range(1, section.seats_per_row + 1, most):
                yield SeatRange(
                    section=section.name,
                    first_row=first_row,
                    last_row=last_row,
                    first_seat=first_seat,
                    last_seat=min(first_seat + most - 1, section.seats_per_row),
                    price=section.price,
                    left_side=left_side,
                    front=front,
                    start_row=section.start_row,
                    aisles=section.aisles,
                    accessible=accessible,
                )


def encode_ranges(ranges: Iterable[SeatRange]) -> str:
    return orjson.dumps(list(ranges)).decode()


# --- Seats that somebody has added who does not know these columns ----------------------------------------------------

# A seat that is not in the layout stands in the middle, in a block of its row.
_PLACE_SEATS = f"""
WITH found AS MATERIALIZED (
    SELECT id, section, row_number AS r, seat_number AS n FROM seats WHERE event_id = %(event_id)s AND block = 0
    ORDER BY id LIMIT {AT_ONCE} FOR NO KEY UPDATE SKIP LOCKED
),
placed AS (
    UPDATE seats SET ({COLUMNS}) = (
        SELECT {PLACE} FROM {RANGES}
        WHERE b.section = f.section AND r BETWEEN b.first_row AND b.last_row AND n BETWEEN b.first_seat AND b.last_seat
        UNION ALL SELECT 0, r - 0.5, 1, n, false LIMIT 1
    )
    FROM found f WHERE seats.id = f.id RETURNING 1
)
SELECT count(*) AS placed FROM placed
"""


def events_with_unplaced_seats() -> list[UUID]:
    return list(Seat.objects.filter(block=0).order_by("event_id").values_list("event_id", flat=True).distinct())


def place_seats(*, event_id: UUID) -> int:
    """Fills in the columns of the event's seats that have not been placed, but for those whose rows are locked.

    In transactions of AT_ONCE seats, so that a sale goes on meanwhile. Returns how many.
    """
    if not Seat.objects.filter(event_id=event_id, block=0).exists():
        return 0
    parameters = {"event_id": event_id, "ranges": encode_ranges(_ranges_of_event(event_id))}
    total = 0
    while placed := fetch_one(_PLACE_SEATS, parameters)["placed"]:
        total += placed
    return total


def _ranges_of_event(event_id: UUID) -> Iterator[SeatRange]:
    config = SeatLayout.objects.filter(events=event_id).values_list("layout_config", flat=True).first()
    try:
        return ranges_of(sections_of(config), most=2**31 - 1)
    except ImpossibleLayout:  # or none
        return iter(())
