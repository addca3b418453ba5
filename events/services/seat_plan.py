"""Where the sections of a hall are drawn: the layout says how many rows and seats they have, not where they stand.

Units are seats: one is as wide as a seat and as deep as a row. The stage is at the top.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from events.services.layouts import Section

WIDEST_LINE = 90  # seats; beyond that a section goes below, not beside
NARROWEST = 12  # room for a section's name
AISLE = 3
HEADING = 3  # above each section, for its name
STAGE = 6


@dataclass(frozen=True, slots=True)
class Block:
    """A section and the place of its first seat. Its rows are `section.seats_per_row` wide."""

    section: Section
    x: float
    y: float

    @property
    def seats(self) -> int:
        return self.section.rows * self.section.seats_per_row

    @property
    def half(self) -> float:
        return self.section.seats_per_row / 2


@dataclass(frozen=True, slots=True)
class SeatPlan:
    width: float
    height: float
    blocks: list[Block]

    @property
    def pixels(self) -> float:
        """How wide it is drawn: small halls do not need big seats."""
        return min(860, self.width * 14)

    @property
    def middle(self) -> float:
        return self.width / 2


def plan_of(sections: Sequence[Section]) -> SeatPlan:
    """Each section below the one before; beside it where it numbers its rows alike, and there is room."""
    lines: list[list[Section]] = []
    for section in sections:
        line = lines[-1] if lines else []
        if line and section.start_row == line[-1].start_row and _width([*line, section]) <= WIDEST_LINE:
            line.append(section)
        else:
            lines.append([section])
    width = max((_width(line) for line in lines), default=NARROWEST) + 2 * AISLE
    blocks, y = [], float(STAGE)
    for line in lines:
        x = (width - _width(line)) / 2
        for section in line:
            blocks.append(Block(section, x + (_room(section) - section.seats_per_row) / 2, y + HEADING))
            x += _room(section) + AISLE
        y += HEADING + max(section.rows for section in line)
    return SeatPlan(width, y + 1, blocks)


def _room(section: Section) -> int:
    return max(section.seats_per_row, NARROWEST)


def _width(line: Sequence[Section]) -> int:
    return sum(map(_room, line)) + AISLE * (len(line) - 1)
