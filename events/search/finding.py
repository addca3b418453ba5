"""Which events a search finds, in which order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any
from uuid import UUID

from events.search.postings import Place, postings
from events.search.queries import Needle, Query, read
from events.search.terms import Meaning, meanings
from kernel.db.sql import fetch_planned

DEPTH = 1000  # the best events of a search; nobody turns so many pages
TOGETHER = 16  # postings of one array: an index scan takes time in proportion to these times the rows that have them


class Rank(IntEnum):
    """How well an event fits, best first. What is behind MAPPED only resembles what was asked for."""

    EXACT = 0  # the title, or its only artist
    NAMED = 1  # one of several artists, or another spelling of the artist or title
    PREFIX = 2  # the beginning of such a name
    WORD = 3  # whole words of title and artist
    PLACE = 4  # whole words, some of them of venue or address
    CONTAINED = 5  # parts of words
    MAPPED = 6  # other spellings of words, abbreviations, dates
    PARTIAL = 7  # a name, without the kind of event that was asked for
    SIMILAR = 8  # mistyped, sounds alike, other keyboard


@dataclass(frozen=True, slots=True)
class Found:
    """A page of what a search finds. `total` is at most DEPTH, and `exact` of them are no worse than MAPPED."""

    ids: list[UUID]
    ranks: list[Rank]
    total: int
    exact: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A query and what its words mean; what a search and its explanation start from."""

    query: Query
    meanings: dict[Needle, Meaning]

    @property
    def whole(self) -> Meaning | None:
        return self.meanings[self.query.whole] if self.query.whole else None

    def words(self, needles: Iterable[Needle]) -> list[Meaning]:
        """The meanings of the words; one that is made of several is replaced by these."""
        words: list[Meaning] = []
        for needle in needles:
            meaning = self.meanings[needle]
            words += meaning.parts if meaning.parts and not meaning.direct else [meaning]
        return words


def read_query(text: str) -> Reading:
    """Reads a search text. Two or three round trips."""
    query = read(text)
    return Reading(query, meanings(query.needles))


def find(reading: Reading, *, status: str = "", first: int = 0, limit: int = DEPTH) -> Found:
    """The events that fit, best first; among equals those on sale, then upcoming ones, then by the start of the sale."""
    conditions, values = _conditions(reading)
    if not conditions:
        return Found([], [], 0, 0)
    sql = statement(conditions, status=status)
    values |= {"first": first + 1, "last": first + limit, "status": status}
    (row,) = fetch_planned(sql, values, by_index=True)
    return Found(list(row["ids"] or []), [Rank(rank) for rank in row["ranks"] or []], row["total"], row["exact"])


# A rank that is reached only if those before it have not filled the page is not even looked up.
_RANK = """r{rank} AS MATERIALIZED (
    SELECT event_id, standing, sale_start_date, {rank} AS rank FROM event_search
    WHERE ({condition}){status}{enough}
    ORDER BY standing, sale_start_date, event_id LIMIT {depth}
)"""
_PAGE = """, found AS (
    SELECT event_id, min(rank) AS rank, min(standing) AS standing, min(sale_start_date) AS sale_start_date
    FROM ({ranks}) r GROUP BY event_id ORDER BY 2, 3, 4, 1 LIMIT {depth}
), page AS (SELECT array_agg(event_id ORDER BY rank, standing, sale_start_date, event_id) AS ids,
    array_agg(rank ORDER BY rank, standing, sale_start_date, event_id) AS ranks,
    count(*) AS total, count(*) FILTER (WHERE rank <= {mapped}) AS exact FROM found)
SELECT ids[%(first)s:%(last)s] AS ids, ranks[%(first)s:%(last)s] AS ranks, total, exact FROM page
"""


def statement(conditions: dict[Rank, str], *, status: str) -> str:
    """The statement that ranks events by these conditions. Beside what they name it takes `first`, `last` and `status`."""
    parts: list[str] = []
    before: list[str] = []
    for rank, condition in conditions.items():
        parts.append(
            _RANK.format(
                rank=int(rank),
                condition=condition,
                status=" AND status = %(status)s" if status else "",
                enough="".join(before),
                depth=DEPTH,
            )
        )
        before.append(f" AND (SELECT count(*) FROM r{int(rank)}) < {DEPTH}")
    ranks = " UNION ALL ".join(f"TABLE r{int(rank)}" for rank in conditions)
    return "WITH " + ", ".join(parts) + _PAGE.format(ranks=ranks, depth=DEPTH, mapped=int(Rank.MAPPED))


class _Conditions:
    """Makes conditions, and keeps the arrays of postings that they name."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def any_of(self, places: Sequence[Place], terms: Iterable[int]) -> str:
        """One of the terms stands in one of the places. Empty if there are no terms."""
        wanted = postings(terms, places)
        parts = [self._overlap(wanted[first : first + TOGETHER]) for first in range(0, len(wanted), TOGETHER)]
        return f"({' OR '.join(parts)})" if parts else ""

    def _overlap(self, wanted: list[int]) -> str:
        name = f"p{len(self.values)}"
        self.values[name] = "{" + ",".join(map(str, wanted)) + "}"
        return f"postings && %({name})s::integer[]"

    def each_of(self, places: Sequence[Place], words: Iterable[Iterable[int]]) -> str:
        """Of each word one of its terms stands in one of the places. Empty if a word has no terms, or there is none."""
        conditions = [self.any_of(places, terms) for terms in words]
        return " AND ".join(conditions) if conditions and all(conditions) else ""


TEXT, TEXT_AND_PLACE = (Place.WORD,), (Place.WORD, Place.VENUE)
EVERYWHERE = (*TEXT_AND_PLACE, Place.ALIAS)
NAMES = (Place.NAME, Place.LISTED)


def _conditions(reading: Reading) -> tuple[dict[Rank, str], dict[str, Any]]:
    """The conditions of the ranks that an event can have, and the values that they name."""
    made = _Conditions()
    found: dict[Rank, list[str]] = {rank: [] for rank in Rank}
    if whole := reading.whole:
        found[Rank.EXACT].append(made.any_of([Place.NAME], whole.exact))
        found[Rank.NAMED].append(made.any_of([Place.LISTED], whole.exact))
        found[Rank.PREFIX].append(made.any_of(NAMES, whole.prefix))
    if title := reading.query.title:
        made.values |= {"title": title, "title_end": title + "\U0010ffff"}
        found[Rank.EXACT].append("title = %(title)s")
        if len(title) > 1:
            found[Rank.PREFIX].append("title >= %(title)s AND title < %(title_end)s")
    alternatives = [[whole]] if whole else []
    if (words := reading.words(reading.query.words)) != [whole]:
        alternatives.append(words)
    for alternative in alternatives:
        _add_words(found, made, alternative)
    if name := reading.query.name:
        found[Rank.PARTIAL].append(made.each_of(NAMES, [word.exact for word in reading.words([name])]))
    conditions = {rank: " OR ".join(f"({each})" for each in found[rank] if each) for rank in Rank}
    return {rank: each for rank, each in conditions.items() if each}, made.values


def _add_words(found: dict[Rank, list[str]], made: _Conditions, words: list[Meaning]) -> None:
    exact = [word.exact for word in words]
    direct = [word.direct for word in words]
    found[Rank.WORD].append(made.each_of(TEXT, exact))
    found[Rank.PLACE].append(made.each_of(TEXT_AND_PLACE, exact))
    found[Rank.CONTAINED].append(made.each_of(TEXT_AND_PLACE, direct))
    found[Rank.MAPPED].append(made.each_of(EVERYWHERE, direct))
    if any(word.similar for word in words):
        found[Rank.SIMILAR].append(made.each_of(EVERYWHERE, [word.all for word in words]))
