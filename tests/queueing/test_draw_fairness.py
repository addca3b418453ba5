"""Every place in a draw is equally likely: by numbers, over many seeds.

That a line stands in the order of these lots is shown in tests/queueing/test_draw.py.
"""

import hashlib
import uuid
from collections.abc import Callable
from functools import cache
from math import sqrt

import pytest

from queueing import draws
from tests.support.harness import HALL

pytestmark = pytest.mark.slow

ARRIVALS = 10_000
SEEDS = 200
BINS = 20
WATCHED = (0, 1, 4_999, 9_998, 9_999)  # arrivals whose places are looked at
# User ids in the order of arrival: what a draw that does not draw would keep.
CODES = [draws.code(uuid.UUID(HALL), uuid.UUID(int=(1 << 100) + number)) for number in range(ARRIVALS)]

# By which number arrivals are ordered, the smallest first: as it is done, and as it might have been done.
ORDERS: dict[str, Callable[[int, int], int]] = {
    "the draw": lambda lot, _: lot,
    "by user id": lambda _, arrival: arrival,
    "a lot of 4 bits, then by user id": lambda lot, arrival: (lot >> 46) * ARRIVALS + arrival,
    "2 % in favour of who comes first": lambda lot, arrival: lot + (arrival << 50) // ARRIVALS // 50,
}


@cache
def lots() -> list[list[int]]:
    """Of all arrivals, for each seed. The seeds are fixed: the same numbers each time."""
    seeds = [hashlib.sha256(f"seed {number}".encode()).hexdigest() for number in range(SEEDS)]
    return [[draws.lot(seed, code) for code in CODES] for seed in seeds]


@cache
def lines(order: str) -> list[list[int]]:
    """For each seed, the arrivals in the order in which they stand."""
    numbers = ([ORDERS[order](lot, arrival) for arrival, lot in enumerate(drawn)] for drawn in lots())
    return [sorted(range(ARRIVALS), key=drawn.__getitem__) for drawn in numbers]


def critical(freedom: int) -> float:
    """What a chi-squared value exceeds by chance once in 1,000 times (Wilson and Hilferty)."""
    part = 2 / (9 * freedom)
    return freedom * (1 - part + 3.0902 * sqrt(part)) ** 3


def chi_squared_of_places(order: str, arrival: int) -> float:
    """How far the places of one arrival, over all seeds, are from uniform over BINS."""
    counts = [0] * BINS
    for line in lines(order):
        counts[line.index(arrival) * BINS // ARRIVALS] += 1
    return sum((count - SEEDS / BINS) ** 2 / (SEEDS / BINS) for count in counts)


def chi_squared_of_correlation(order: str) -> float:
    """How far arrival and place, of all and over all seeds, are from having nothing to do with each other."""
    middle = (ARRIVALS - 1) / 2
    variance = sum((arrival - middle) ** 2 for arrival in range(ARRIVALS))
    covariances = (sum((place - middle) * arrival for place, arrival in enumerate(line)) for line in lines(order))
    return sum((covariance / variance) ** 2 * (ARRIVALS - 1) for covariance in covariances)


def flaws(order: str) -> set[str]:
    """Which of the two measures say that not every place is equally likely."""
    is_uneven = any(chi_squared_of_places(order, arrival) > critical(BINS - 1) for arrival in WATCHED)
    is_correlated = chi_squared_of_correlation(order) > critical(SEEDS)
    return {name for name, is_so in (("places", is_uneven), ("correlation", is_correlated)) if is_so}


@pytest.mark.long
def test_every_place_is_equally_likely() -> None:
    assert flaws("the draw") == set()


@pytest.mark.long
@pytest.mark.parametrize(
    ("order", "found"),
    [
        ("by user id", {"places", "correlation"}),
        ("a lot of 4 bits, then by user id", {"places", "correlation"}),
        ("2 % in favour of who comes first", {"correlation"}),
    ],
)
def test_an_order_that_is_not_fair_would_be_found_out(order: str, found: set[str]) -> None:
    assert flaws(order) == found
