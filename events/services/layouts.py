"""What a seat layout must be, so that seats can be made from it."""

import itertools
import math
import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext_noop as _

from events.errors import ImpossibleLayout

MAX_LABEL = 20  # characters, as the column is wide
MAX_SEATS = 200_000
MAX_NUMBER = 2**31 - 1
MAX_DISTANCE = 10_000  # seats
MAX_ENTRIES = 1_000  # of a list
AISLE_WIDTH = 1  # seats
# Unicode's Default_Ignorable_Code_Point, except those that no text has, and control characters that are not spaces.
_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000e-\u001b\u007f-\u0084\u0086-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)


@dataclass(frozen=True, slots=True)
class AccessibleSeats:
    """The seats from `first` to `last` of a row."""

    row: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Section:
    """`rows` rows from `start_row` on, each with seats 1 to `seats_per_row`.

    `aisles` are the seats after which there is an aisle, in ascending order; they divide each row into blocks. `place` says
    how many seats the middle of the section is to the right of the middle of the stage, and how many rows its front is
    behind the stage; None: wherever `seat_plan` draws it.
    """

    name: str
    rows: int
    seats_per_row: int
    price: int
    start_row: int
    aisles: tuple[int, ...] = ()
    accessible: tuple[AccessibleSeats, ...] = ()
    place: tuple[float, float] | None = None

    @property
    def last_row(self) -> int:
        return self.start_row + self.rows - 1

    @property
    def seats(self) -> int:
        return self.rows * self.seats_per_row

    @property
    def width(self) -> int:
        """In seats, with the aisles."""
        return self.seats_per_row + AISLE_WIDTH * len(self.aisles)

    @property
    def longest_label(self) -> str:
        return f"{self.name}-{self.last_row}-{self.seats_per_row}"


def sections_of(layout_config: Any) -> list[Section]:
    """The sections of `{"sections": [{name, rows, seatsPerRow, price, startRow, aisles, accessible, x, y}]}`.

    The last five may be left out. Raises ImpossibleLayout: nothing to sit on, a number that is none, two rows of a section
    with the same number, a label that is too long, an aisle or an accessible seat where the section has none.
    """
    found = layout_config.get("sections") if isinstance(layout_config, dict) else None
    if not isinstance(found, list) or not found:
        raise ImpossibleLayout(_("The layout has no sections."))
    sections = [_section(place, raw) for place, raw in enumerate(found, 1)]
    _refuse_overlapping_rows(sections)
    total = sum(section.seats for section in sections)
    if total > MAX_SEATS:
        raise ImpossibleLayout(_("The layout has %(total)s seats. The most is %(most)s."), total=total, most=MAX_SEATS)
    return sections


def _section(place: int, raw: Any) -> Section:
    if not isinstance(raw, dict):
        raise ImpossibleLayout(_("Section %(place)s is not an object."), place=place)
    name = raw.get("name")
    if not isinstance(name, str) or not plain_name(name):
        raise ImpossibleLayout(_("Section %(place)s has no name."), place=place)
    section = Section(
        name=name,
        rows=_number(raw, "rows", name, most=MAX_SEATS),
        seats_per_row=_number(raw, "seatsPerRow", name, most=MAX_SEATS),
        price=_number(raw, "price", name, most=MAX_NUMBER),
        start_row=_number({"startRow": 1, **raw}, "startRow", name, least=1, most=MAX_NUMBER - MAX_SEATS),
        place=_place(raw, name),
    )
    if section.seats == 0:
        raise ImpossibleLayout(_("Section %(name)s has no seats."), name=name)
    if len(section.longest_label) > MAX_LABEL:
        raise ImpossibleLayout(
            _("Section %(name)s has a seat label of %(length)s characters (%(label)s). The most is %(most)s."),
            name=name,
            length=len(section.longest_label),
            label=section.longest_label,
            most=MAX_LABEL,
        )
    return replace(section, aisles=_aisles(raw, section), accessible=_accessible(raw, section))


def _place(raw: dict[str, Any], section: str) -> tuple[float, float] | None:
    if "x" not in raw and "y" not in raw:
        return None
    for key, least in (("x", -MAX_DISTANCE), ("y", 0)):
        value: Any = raw.get(key)
        if type(value) not in (int, float) or not math.isfinite(value) or not least <= value <= MAX_DISTANCE:
            raise ImpossibleLayout(
                _("Section %(section)s: %(key)s must be a number from %(least)s to %(most)s. It needs both x and y."),
                section=section,
                key=key,
                least=least,
                most=MAX_DISTANCE,
            )
    return float(raw["x"]), float(raw["y"])


def _aisles(raw: dict[str, Any], section: Section) -> tuple[int, ...]:
    aisles = raw.get("aisles", [])
    if not _are_numbers(aisles, most=section.seats_per_row - 1) or len(set(aisles)) < len(aisles):
        raise ImpossibleLayout(
            _("Section %(name)s: aisles must be a list of different seat numbers from 1 to %(most)s."),
            name=section.name,
            most=section.seats_per_row - 1,
        )
    return tuple(sorted(aisles))


def _accessible(raw: dict[str, Any], section: Section) -> tuple[AccessibleSeats, ...]:
    entries = raw.get("accessible", [])
    if not isinstance(entries, list) or len(entries) > MAX_ENTRIES:
        raise _impossible_accessible(section)
    found: list[AccessibleSeats] = []
    for entry in entries:
        row = entry.get("row") if isinstance(entry, dict) else None
        if type(row) is not int or not section.start_row <= row <= section.last_row:
            raise _impossible_accessible(section)
        if "seats" not in entry:
            found.append(AccessibleSeats(row, 1, section.seats_per_row))
        elif _are_numbers(entry["seats"], most=section.seats_per_row):
            found.extend(AccessibleSeats(row, seat, seat) for seat in entry["seats"])
        else:
            raise _impossible_accessible(section)
    return tuple(found)


def _impossible_accessible(section: Section) -> ImpossibleLayout:
    return ImpossibleLayout(
        _(
            "Section %(name)s: accessible must be a list of rows, {row, seats}, with row from %(first_row)s to %(last_row)s"
            " and seats, if only some are accessible, from 1 to %(seats)s."
        ),
        name=section.name,
        first_row=section.start_row,
        last_row=section.last_row,
        seats=section.seats_per_row,
    )


def _are_numbers(values: Any, *, most: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= MAX_ENTRIES
        and all(type(value) is int and 1 <= value <= most for value in values)
    )


def plain_name(name: str) -> str:
    """The name as it looks: composed (NFC), without characters that show nothing, and with single spaces.

    Names that look alike are one name: "VIP", "VIP " and "V\u200bIP".
    """
    return " ".join(_INVISIBLE.sub("", unicodedata.normalize("NFC", name)).split())


def _number(raw: dict[str, Any], key: str, section: str, *, least: int = 0, most: int) -> int:
    value = raw.get(key)
    if type(value) is not int or not least <= value <= most:
        raise ImpossibleLayout(
            _("Section %(section)s: %(key)s must be a whole number from %(least)s to %(most)s."),
            section=section,
            key=key,
            least=least,
            most=most,
        )
    return value


def _refuse_overlapping_rows(sections: list[Section]) -> None:
    """Sections may be given in parts, and different sections may number their rows alike; a section's own rows differ."""
    by_name = defaultdict(list)
    for section in sections:
        by_name[plain_name(section.name)].append(section)
    for name, parts in by_name.items():
        parts.sort(key=lambda part: part.start_row)
        for part, following in itertools.pairwise(parts):
            if following.start_row <= part.last_row:
                raise ImpossibleLayout(_("Section %(name)s has row %(row)s twice."), name=name, row=following.start_row)
