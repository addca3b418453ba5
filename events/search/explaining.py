"""Why a search finds what it finds, for organisers."""

from dataclasses import dataclass
from uuid import UUID

from events.search.finding import Rank, Reading, find, read_query
from events.search.postings import PLACES
from events.search.terms import Meaning
from kernel.db.sql import fetch_all

MAX_SHOWN = 50
MAX_TERMS_SHOWN = 12

_TERMS = """
SELECT DISTINCT s.event_id, length(t.text), t.text
FROM event_search s CROSS JOIN unnest(s.postings) posting JOIN search_terms t ON t.id = posting / %(places)s
WHERE s.event_id = ANY(%(ids)s::uuid[]) AND t.id = ANY(%(terms)s::integer[]) ORDER BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it was read, and the terms that it may mean."""

    text: str
    direct: list[str]
    similar: list[str]


@dataclass(frozen=True, slots=True)
class Hit:
    """An event that was found, and by which terms."""

    event_id: UUID
    rank: Rank
    terms: list[str]
    is_first_similar: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    words: list[Word]
    hits: list[Hit]
    total: int
    exact: int


def explain(text: str) -> Explanation:
    """The words of a search, and the first fifty events that it finds."""
    reading = read_query(text)
    found = find(reading, limit=MAX_SHOWN)
    meanings = _meanings(reading)
    term_ids = sorted({term for meaning in meanings for term in meaning.all})
    by: dict[UUID, list[str]] = {}
    for row in fetch_all(_TERMS, {"ids": found.ids, "terms": term_ids, "places": PLACES}):
        by.setdefault(row["event_id"], []).append(row["text"])
    hits = [
        Hit(event_id, rank, by.get(event_id, [])[:MAX_TERMS_SHOWN], at == found.exact)
        for at, (event_id, rank) in enumerate(zip(found.ids, found.ranks, strict=True))
    ]
    return Explanation([_word(meaning) for meaning in meanings], hits, found.total, found.exact)


def _meanings(reading: Reading) -> list[Meaning]:
    words = reading.words(reading.query.words)
    return words if reading.whole is None or reading.whole in words else [*words, reading.whole]


def _word(meaning: Meaning) -> Word:
    direct = [*meaning.exact.values(), *meaning.prefix.values(), *meaning.inside.values()]
    return Word(
        meaning.needle.text,
        [term.text for term in direct][:MAX_TERMS_SHOWN],
        [term.text for term in meaning.similar.values()][:MAX_TERMS_SHOWN],
    )
