"""Three seat layouts, from a room above a bar to an arena."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    name: str
    description: str
    sections: list[dict[str, Any]]


SMALL_THEATRE = Layout(
    name="demo_small_theatre",
    description="소극장 120석. 무대에서 맨 뒷줄까지 열 걸음.",
    sections=[
        {"name": "R", "rows": 5, "seatsPerRow": 12, "price": 45_000, "startRow": 1},
        {
            "name": "S",
            "rows": 5,
            "seatsPerRow": 12,
            "price": 35_000,
            "startRow": 6,
            "accessible": [{"row": 10, "seats": [1, 2, 11, 12]}],
        },
    ],
)
CONCERT_HALL = Layout(
    name="demo_concert_hall",
    description="콘서트홀 1,200석. 앞에서부터 VIP, R, S, A.",
    sections=[
        {"name": "VIP", "rows": 5, "seatsPerRow": 24, "price": 150_000, "startRow": 1},
        {"name": "R", "rows": 12, "seatsPerRow": 30, "price": 120_000, "startRow": 6, "aisles": [8, 22]},
        {"name": "S", "rows": 12, "seatsPerRow": 36, "price": 90_000, "startRow": 18, "aisles": [11, 25]},
        {
            "name": "A",
            "rows": 8,
            "seatsPerRow": 36,
            "price": 60_000,
            "startRow": 30,
            "aisles": [11, 25],
            "accessible": [{"row": 37, "seats": [1, 2, 3, 4, 33, 34, 35, 36]}],
        },
    ],
)
# Sections of an arena number their rows on their own; the two halves of the floor go on counting.
ARENA = Layout(
    name="demo_arena",
    description="아레나 5,000석. 플로어 두 구역과 사방의 스탠드.",
    sections=[
        {"name": "FloorA", "rows": 10, "seatsPerRow": 40, "price": 198_000, "startRow": 1},
        {"name": "FloorB", "rows": 10, "seatsPerRow": 40, "price": 176_000, "startRow": 11},
        {"name": "East", "rows": 20, "seatsPerRow": 35, "price": 143_000, "startRow": 1},
        {"name": "West", "rows": 20, "seatsPerRow": 35, "price": 143_000, "startRow": 1},
        {"name": "North", "rows": 20, "seatsPerRow": 40, "price": 121_000, "startRow": 1},
        {"name": "South", "rows": 20, "seatsPerRow": 40, "price": 121_000, "startRow": 1},
        {"name": "Sky", "rows": 20, "seatsPerRow": 60, "price": 88_000, "startRow": 21},
    ],
)

LAYOUTS = (SMALL_THEATRE, CONCERT_HALL, ARENA)
