"""Keeping the index: the only code that writes `search_terms` and the terms of `event_search`."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings

from events.search.documents import Aliases, EventTerms, Texts, documents, is_word
from events.search.folding import fold, joined
from events.search.keyboard import initials, keystrokes
from events.search.postings import PLACES, Place, postings
from events.search.sounds import sounds
from kernel.db.sql import fetch_all

BATCH = 200  # events in one statement

_EVENTS = """
SELECT s.event_id, s.version, e.title, coalesce(e.artist_name, '') AS artist, e.venue,
    coalesce(e.address, '') AS address, e.event_date
FROM event_search s JOIN events e ON e.id = s.event_id
WHERE {which}
ORDER BY s.event_id LIMIT %(limit)s
"""
_KNOWN = "SELECT id, text, is_phrase FROM search_terms WHERE text = ANY(%(texts)s::text[])"
_VOCABULARY = "SELECT id, text, is_phrase FROM search_terms"
_ADD_TERMS = """
INSERT INTO search_terms (text, is_phrase, keys, initials, sound)
SELECT * FROM unnest(
    %(texts)s::text[], %(are_phrases)s::boolean[], %(keys)s::text[], %(initials)s::text[], %(sounds)s::text[]
)
ON CONFLICT DO NOTHING RETURNING id, text, is_phrase
"""
_ARE_WORDS = "UPDATE search_terms SET is_phrase = false WHERE text = ANY(%(texts)s::text[]) AND is_phrase"
# A row that somebody is changing is left out: it is still out of date, and its turn comes again. So is one that already is
# what it should be.
_WRITE = """
WITH made AS (
    SELECT * FROM unnest(%(event_id)s::uuid[], %(version)s::bigint[], %(title)s::text[], %(postings)s::text[])
        AS made (event_id, version, title, postings)
), locked AS (
    SELECT s.event_id FROM event_search s JOIN made USING (event_id, version)
    WHERE (s.indexed_version, s.title, s.postings) IS DISTINCT FROM (made.version, made.title, made.postings::integer[])
    ORDER BY s.event_id FOR NO KEY UPDATE OF s SKIP LOCKED
)
UPDATE event_search s SET indexed_version = made.version, title = made.title, postings = made.postings::integer[]
FROM made JOIN locked USING (event_id) WHERE s.event_id = made.event_id
RETURNING s.event_id
"""
_CHANGED_KEYWORDS = "SELECT id, korean, english FROM search_keyword_changes"
_CONTAINING = """
SELECT id FROM search_terms WHERE NOT is_phrase AND keys LIKE ANY(%(patterns)s::text[])
UNION SELECT id FROM search_terms WHERE text = ANY(%(texts)s::text[])
"""
# Every event that might contain the name. Those that do not are made again in vain.
_OUTDATE = "UPDATE event_search SET version = version + 1 WHERE postings && %(postings)s::integer[]"


Row = dict[str, Any]


class Indexer:
    """Makes the terms of events that are out of date. One for each run: it knows the mappings as they were then."""

    def __init__(self) -> None:
        pairs = fetch_all("SELECT korean, english FROM keyword_mappings", {})
        self.aliases = Aliases((pair["korean"], pair["english"]) for pair in pairs)
        self._ids: dict[str, int] = {}
        self._phrases: set[str] = set()

    def learn_vocabulary(self) -> None:
        """Read the ids of all terms at once, before most of them are needed."""
        self._learn(fetch_all(_VOCABULARY, {}))

    def index_batch(self, *, limit: int = BATCH, only: Sequence[UUID] | None = None) -> int:
        """Index at most `limit` events (of `only`) that are out of date. Returns how many there were."""
        of = "" if only is None else " AND s.event_id = ANY(%(only)s::uuid[])"
        rows = read_rows(f"s.version > s.indexed_version{of}", limit=limit, only=list(only or []))
        self.write(rows, documents(texts_of(rows), self.aliases))
        return len(rows)

    def write(self, rows: Sequence[Row], made: Sequence[EventTerms]) -> None:
        if not rows:
            return
        self._find_or_add(
            set().union(*(terms for each in made for terms in each.at.values())), set().union(*(e.words for e in made))
        )
        columns = {
            "event_id": [row["event_id"] for row in rows],
            "version": [row["version"] for row in rows],
            "title": [each.title for each in made],
            "postings": [self._array(each) for each in made],
        }
        fetch_all(_WRITE, columns)

    def _array(self, made: EventTerms) -> str:
        """Sorted, since equal arrays leave the index alone."""
        found: list[int] = []
        for place, terms in made.at.items():
            found += [self._ids[term] * PLACES + place for term in terms]
        return "{" + ",".join(map(str, sorted(found))) + "}"

    def _find_or_add(self, terms: set[str], words: set[str]) -> None:
        if missing := terms - self._ids.keys():
            self._learn(fetch_all(_KNOWN, {"texts": list(missing)}))
        if new := sorted(missing - self._ids.keys()):  # sorted: two that add the same terms must not deadlock
            compared = [text if is_word(text) else "" for text in new]
            columns = {
                "texts": new,
                "are_phrases": [text not in words for text in new],
                "keys": [keystrokes(text).lower() for text in compared],
                "initials": [initials(text) for text in compared],
                "sounds": sounds([joined(text) for text in compared]),
            }
            self._learn(fetch_all(_ADD_TERMS, columns))
            if others := [text for text in new if text not in self._ids]:  # that somebody else has just added
                self._learn(fetch_all(_KNOWN, {"texts": others}))
        if are_words := words & self._phrases:
            fetch_all(_ARE_WORDS, {"texts": sorted(are_words)})
            self._phrases -= are_words

    def _learn(self, rows: Iterable[dict[str, Any]]) -> None:
        for row in rows:
            self._ids[row["text"]] = row["id"]
            if row["is_phrase"]:
                self._phrases.add(row["text"])


def read_rows(which: str, *, limit: int = BATCH, **values: Any) -> list[Row]:
    """The texts and versions of at most `limit` events, by id. `which`: a condition on `event_search s`, of these values."""
    return fetch_all(_EVENTS.format(which=which), {"limit": limit, **values})


def texts_of(rows: Iterable[Row]) -> list[Texts]:
    zone = ZoneInfo(settings.VENUE_TIME_ZONE)
    return [
        Texts(
            **{name: row[name] for name in ("title", "artist", "venue", "address")},
            day=row["event_date"].astimezone(zone).date(),
        )
        for row in rows
    ]


def index_out_of_date(*, limit: int, only: Sequence[UUID] | None = None) -> int:
    """Index the events that have changed (of `only`), `limit` at most. Returns how many."""
    if is_up_to_date():
        return 0  # which it nearly always is: the mappings are not even read
    apply_keyword_changes()
    indexer, done = Indexer(), 0
    while done < limit:
        count = indexer.index_batch(limit=min(BATCH, limit - done), only=only)
        done += count
        if count < BATCH:
            break
    return done


def apply_keyword_changes() -> None:
    """Put out of date the events with a name whose mappings have changed, in whichever spelling they have it."""
    changes = fetch_all(_CHANGED_KEYWORDS, {})
    if not changes:
        return
    pairs = fetch_all("SELECT korean, english FROM keyword_mappings", {}) + changes
    aliases = Aliases((pair["korean"], pair["english"]) for pair in pairs)
    names = {joined(fold(change[column])) for change in changes for column in ("korean", "english")}
    spellings = set[str]().union(*(aliases.of(name) for name in names))
    words = [max(spelling.split(), key=len) for spelling in spellings]
    keys = {keystrokes(joined(word)).lower() for word in words}
    texts = [joined(text) for text in (*words, *spellings)]
    terms = fetch_all(_CONTAINING, {"patterns": [f"%{each}%" for each in keys if len(each) > 3], "texts": texts})
    everywhere = postings([term["id"] for term in terms], [Place.WORD, Place.VENUE, Place.ALIAS])
    fetch_all(_OUTDATE, {"postings": everywhere})
    fetch_all("DELETE FROM search_keyword_changes WHERE id = ANY(%(ids)s)", {"ids": [c["id"] for c in changes]})


def is_up_to_date() -> bool:
    """Whether every change of an event and of a mapping is in the index. Two reads of nearly empty indexes."""
    (row,) = fetch_all(
        "SELECT EXISTS (SELECT FROM event_search WHERE version > indexed_version)"
        " OR EXISTS (SELECT FROM search_keyword_changes) AS stale",
        {},
    )
    return not row["stale"]
