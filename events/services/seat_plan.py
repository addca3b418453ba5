"""Where the sections of a hall are: as the layout says, or, where it does not, one behind the other.

Units are seats: one is as wide as a seat and as deep as a row. The stage is at the top.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from events.services.layouts import AISLE_WIDTH, Section

WIDEST_LINE = 90  # seats; beyond that a section goes below, not beside
NARROWEST = 12  # room for a section's name
AISLE = 3
HEADING = 3  # above each section, for its name
STAGE = 6
STAGE_FRONT = 4  # where the stage ends


@dataclass(frozen=True, slots=True)
class PlacedSection:
    """A section and the place of its first seat. Its rows are `section.width` wide."""

    section: Section
    x: float
    y: float

    @property
    def seats(self) -> int:
        return self.section.seats

    @property
    def half(self) -> float:
        return self.section.width / 2

    @property
    def parts(self) -> list[tuple[int, int]]:
        """What stands between aisles: where it begins, from the section's first seat, and how many seats are in a row."""
        ends = [*self.section.aisles, self.section.seats_per_row]
        firsts = [0, *self.section.aisles]
        return [
            (first + AISLE_WIDTH * passed, end - first)
            for passed, (first, end) in enumerate(zip(firsts, ends, strict=True))
        ]


@dataclass(frozen=True, slots=True)
class SeatPlan:
    width: float
    height: float
    blocks: list[PlacedSection]

    @property
    def pixels(self) -> float:
        """How wide it is drawn: small halls do not need big seats."""
        return min(860, self.width * 14)

    @property
    def middle(self) -> float:
        return self.width / 2


def plan_of(sections: Sequence[Section]) -> SeatPlan:
    """Each section where its layout says; the others below one another, or beside one that numbers its rows alike, if
    there is room.
    """
    lines: list[list[Section]] = []
    for section in (section for section in sections if section.place is None):
        line = lines[-1] if lines else []
        if line and section.start_row == line[-1].start_row and _width([*line, section]) <= WIDEST_LINE:
            line.append(section)
        else:
            lines.append([section])
    reach = [2 * abs(section.place[0]) + _room(section) for section in sections if section.place is not None]
    width = max([*map(_width, lines), *reach], default=NARROWEST) + 2 * AISLE
    blocks, y = [], float(STAGE)
    for line in lines:
        x = (width - _width(line)) / 2
        for section in line:
            blocks.append(PlacedSection(section, x + (_room(section) - section.width) / 2, y + HEADING))
            x += _room(section) + AISLE
        y += HEADING + max(section.rows for section in line)
    for section in sections:
        if section.place is not None:
            x, behind = section.place
            blocks.append(PlacedSection(section, width / 2 + x - section.width / 2, STAGE_FRONT + behind))
            y = max(y, STAGE_FRONT + behind + section.rows)
    return SeatPlan(width, y + 1, blocks)


def places_of(sections: Sequence[Section]) -> list[tuple[float, float]]:
    """Of each section: how far its left side is to the right of the middle of the stage, and its front behind the stage."""
    plan = plan_of(sections)
    places = {id(block.section): (block.x - plan.middle, block.y - STAGE_FRONT) for block in plan.blocks}
    return [places[id(section)] for section in sections]


def _room(section: Section) -> int:
    return max(section.width, NARROWEST)


def _width(line: Sequence[Section]) -> int:
    return sum(map(_room, line)) + AISLE * (len(line) - 1)
