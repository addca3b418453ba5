"""Keeping the index: the only code that writes `search_terms` and the terms of `event_search`."""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings

from events.search.documents import EMPTY, Aliases, EventTerms, Texts, document, is_word
from events.search.folding import fold, joined
from events.search.keyboard import initials, keystrokes
from events.search.sounds import sounds
from kernel.db.sql import fetch_all

logger = logging.getLogger(__name__)

BATCH = 200  # events in one statement
COLUMNS = ("names", "listed", "words", "places", "aliases")

_OUT_OF_DATE = """
SELECT s.event_id, s.version, e.title, coalesce(e.artist_name, '') AS artist, e.venue,
    coalesce(e.address, '') AS address, e.event_date
FROM event_search s JOIN events e ON e.id = s.event_id
WHERE {which}
LIMIT %(limit)s
"""
_KNOWN = "SELECT id, text FROM search_terms WHERE text = ANY(%(texts)s::text[])"
_VOCABULARY = "SELECT id, text FROM search_terms"
_ADD_TERMS = """
INSERT INTO search_terms (text, keys, initials, sound)
SELECT * FROM unnest(%(texts)s::text[], %(keys)s::text[], %(initials)s::text[], %(sounds)s::text[])
ON CONFLICT DO NOTHING RETURNING id, text
"""
# A row that somebody is changing is left out: it is still out of date, and its turn comes again. So is one that already is
# what it should be.
_WRITE = """
WITH made AS (
    SELECT * FROM unnest(%(event_id)s::uuid[], %(version)s::bigint[], %(title)s::text[], %(names)s::text[],
        %(listed)s::text[], %(words)s::text[], %(places)s::text[], %(aliases)s::text[])
        AS made (event_id, version, title, names, listed, words, places, aliases)
), locked AS (
    SELECT s.event_id FROM event_search s JOIN made USING (event_id, version)
    WHERE (s.indexed_version, s.title, s.names, s.listed, s.words, s.places, s.aliases) IS DISTINCT FROM (
        made.version, made.title, made.names::integer[], made.listed::integer[], made.words::integer[],
        made.places::integer[], made.aliases::integer[])
    ORDER BY s.event_id FOR NO KEY UPDATE OF s SKIP LOCKED
)
UPDATE event_search s SET indexed_version = made.version, title = made.title, names = made.names::integer[],
    listed = made.listed::integer[], words = made.words::integer[], places = made.places::integer[],
    aliases = made.aliases::integer[]
FROM made JOIN locked USING (event_id) WHERE s.event_id = made.event_id
RETURNING s.event_id
"""
_CHANGED_KEYWORDS = "SELECT id, korean, english FROM search_keyword_changes"
# Every event that might contain the name. Those that do not are made again in vain.
_OUTDATE_CONTAINING = """
UPDATE event_search SET version = version + 1 WHERE event_id IN (
    SELECT s.event_id FROM event_search s, (
        SELECT coalesce(array_agg(id), '{}') AS ids FROM search_terms
        WHERE keys LIKE ANY(%(patterns)s::text[]) OR text = ANY(%(texts)s::text[])
    ) t WHERE s.words && t.ids OR s.places && t.ids OR s.aliases && t.ids
)
"""  # fmt: skip


class Indexer:
    """Makes the terms of events that are out of date. One for each run: it knows the mappings as they were then."""

    def __init__(self) -> None:
        pairs = fetch_all("SELECT korean, english FROM keyword_mappings", {})
        self._aliases = Aliases((pair["korean"], pair["english"]) for pair in pairs)
        self._ids: dict[str, int] = {}

    def learn_vocabulary(self) -> None:
        """Read the ids of all terms at once, before most of them are needed."""
        self._ids = _by_text(fetch_all(_VOCABULARY, {}))

    def index_batch(self, *, limit: int = BATCH, only: Sequence[UUID] | None = None, every: bool = False) -> int:
        """Index at most `limit` events (of `only`) that are out of date, or `every`. Returns how many there were."""
        which = [] if every else ["s.version > s.indexed_version"]
        which += [] if only is None else ["s.event_id = ANY(%(only)s::uuid[])"]
        sql = _OUT_OF_DATE.format(which=" AND ".join(which) or "true")
        rows = fetch_all(sql, {"limit": limit, "only": list(only or [])})
        if rows:
            made = [self._document(row) for row in rows]
            self._find_or_add(set[str]().union(*(each.terms for each in made)))
            fetch_all(_WRITE, self._columns(rows, made))
        return len(rows)

    def _document(self, row: dict[str, Any]) -> EventTerms:
        try:
            return document(_texts(row), self._aliases)
        except Exception:  # one text that cannot be read must not keep the others out of the index
            logger.exception("event %s has no terms", row["event_id"])
            return EMPTY

    def _columns(self, rows: list[dict[str, Any]], made: list[EventTerms]) -> dict[str, Any]:
        return {
            "event_id": [row["event_id"] for row in rows],
            "version": [row["version"] for row in rows],
            "title": [each.title for each in made],
            **{name: [self._array(getattr(each, name)) for each in made] for name in COLUMNS},
        }

    def _array(self, terms: Iterable[str]) -> str:
        found = sorted(self._ids[term] for term in terms)  # equal arrays leave the indexes alone
        return "{" + ",".join(map(str, found)) + "}"

    def _find_or_add(self, texts: set[str]) -> None:
        if missing := texts - self._ids.keys():
            self._ids |= _by_text(fetch_all(_KNOWN, {"texts": list(missing)}))
        if new := sorted(missing - self._ids.keys()):  # sorted: two that add the same terms must not deadlock
            words = [text if is_word(text) else "" for text in new]
            columns = {
                "texts": new,
                "keys": [keystrokes(word) for word in words],
                "initials": [initials(word) for word in words],
                "sounds": sounds([joined(word) for word in words]),
            }
            self._ids |= _by_text(fetch_all(_ADD_TERMS, columns))
            if others := [text for text in new if text not in self._ids]:  # that somebody else has just added
                self._ids |= _by_text(fetch_all(_KNOWN, {"texts": others}))


def _by_text(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    return {row["text"]: row["id"] for row in rows}


def _texts(row: dict[str, Any]) -> Texts:
    moment: datetime = row["event_date"]
    named = {name: row[name] for name in ("title", "artist", "venue", "address")}
    return Texts(**named, day=moment.astimezone(ZoneInfo(settings.VENUE_TIME_ZONE)).date())


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
    longest = {joined(word) for word in words}
    fetch_all(
        _OUTDATE_CONTAINING,
        {
            "patterns": [f"%{keystrokes(word)}%" for word in longest if len(keystrokes(word)) > 3],
            "texts": [*longest, *map(joined, spellings)],
        },
    )
    fetch_all("DELETE FROM search_keyword_changes WHERE id = ANY(%(ids)s)", {"ids": [c["id"] for c in changes]})


def is_up_to_date() -> bool:
    """Whether every change of an event and of a mapping is in the index. Two reads of nearly empty indexes."""
    (row,) = fetch_all(
        "SELECT EXISTS (SELECT FROM event_search WHERE version > indexed_version)"
        " OR EXISTS (SELECT FROM search_keyword_changes) AS stale",
        {},
    )
    return not row["stale"]
