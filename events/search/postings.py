"""Where a term stands in an event: both numbers in one, so that one array and one index have everything."""

from collections.abc import Iterable, Sequence
from enum import IntEnum


class Place(IntEnum):
    """Where in an event a term stands."""

    WORD = 0  # of title and artists
    VENUE = 1  # of venue and address
    ALIAS = 2  # another spelling, an abbreviation, a date
    NAME = 3  # the whole name of its only artist
    LISTED = 4  # the name of one among several; another spelling of a name or of the title


PLACES = 8  # at most


def postings(terms: Iterable[int], places: Sequence[Place]) -> list[int]:
    """A number for each of the terms in each of the places, sorted, each once."""
    known = set(terms)
    return sorted([term * PLACES + place for term in known for place in places])
