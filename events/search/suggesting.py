"""Suggestions while somebody types: the names that what is typed may become."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from events.search.documents import is_word, terms
from events.search.finding import Rank, Reading, find, read_query
from events.search.folding import fold, joined
from kernel.db.sql import fetch_all

MAX_SUGGESTIONS = 8
DEPTH = 40  # events that suggestions are taken from
FIELDS = ("artist", "title", "venue", "address")

_TEXTS = """
SELECT id, title, coalesce(artist_name, '') AS artist, venue, coalesce(address, '') AS address FROM events
WHERE id = ANY(%(ids)s::uuid[])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A text of an event that fits. `matched` is the term that was found: it stands at `start` to `end` of the text, or
    nowhere in it (both None) where it is another spelling of it. `field` says whose text it is.
    """

    text: str
    field: str
    matched: str
    start: int | None
    end: int | None
    rank: Rank
    event_id: UUID

    def as_json(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "field": self.field,
            "matched": self.matched,
            "start": self.start,
            "end": self.end,
            "match": self.rank.name.lower(),
            "eventId": str(self.event_id),
        }


def suggest(text: str) -> list[Suggestion]:
    """At most eight names that fit what is typed, best first, each once."""
    reading = read_query(text)
    meant = _meant(reading)
    found = find(reading, limit=DEPTH)
    rows = {row["id"]: row for row in fetch_all(_TEXTS, {"ids": found.ids})}
    suggestions: dict[str, Suggestion] = {}
    for event_id, rank in zip(found.ids, found.ranks, strict=True):
        if event_id in rows:
            for each in _of_event(meant, rows[event_id], rank):
                suggestions.setdefault(each.text, each)
        if len(suggestions) >= MAX_SUGGESTIONS:
            break
    return list(suggestions.values())[:MAX_SUGGESTIONS]


def _of_event(meant: list[str], row: dict[str, Any], rank: Rank) -> Iterator[Suggestion]:
    """The first text of the event that has one of these terms; else its artist or title, with the other spelling found."""
    for field in FIELDS:
        text = row[field]
        for term in _in(meant, text):
            start, end = locate(text, term)
            yield Suggestion(text=text, field=field, matched=term, start=start, end=end, rank=rank, event_id=row["id"])
            return
    if meant:
        text = row["artist"] or row["title"]
        yield Suggestion(
            text=text, field="alias", matched=meant[0], start=None, end=None, rank=rank, event_id=row["id"]
        )


def _meant(reading: Reading) -> list[str]:
    """What was typed, and the terms that it may mean, best first."""
    words = [reading.whole] if reading.whole else []
    words += reading.words(reading.query.words)
    found = [
        term.text
        for word in words
        for quality in (word.exact, word.prefix, word.inside, word.similar)
        for term in quality.values()
    ]
    typed = [word.needle.text for word in words if any(word.needle.text in text for text in found)]
    return list(dict.fromkeys([*typed, *filter(is_word, found)]))


def _in(meant: Iterable[str], text: str) -> Iterator[str]:
    folded = fold(text)
    compact, known = joined(folded), terms(folded)
    return (term for term in meant if term in known or term in compact or term in folded)


def locate(text: str, term: str) -> tuple[int | None, int | None]:
    """Where the letters of a folded term stand in a text, whatever stands between them: its first and behind its last."""
    letters = [(at, folded) for at, character in enumerate(text) for folded in joined(fold(character))]
    wanted = joined(term)
    at = "".join(folded for _, folded in letters).find(wanted) if wanted else -1
    return (None, None) if at < 0 else (letters[at][0], letters[at + len(wanted) - 1][0] + 1)
