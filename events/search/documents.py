"""What an event can be found by: the terms of its texts, by where they stand."""

import logging
import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from events.search.folding import HANGUL, WORD, fold, joined, words_of
from events.search.postings import Place

logger = logging.getLogger(__name__)

# Where a name in a title ends: brackets, quotation marks, a colon, a dash between spaces, years.
_SEGMENTS = re.compile(r"""[()\[\]{}<>〈〉《》「」『』":;,|/★♥×!?]|\s-\s|(?<!\w)'|'(?!\w)|(?<!\w)(?:19|20)\d\d(?!\w)""")
_LIST = re.compile(r"\s*[,、]\s*|\s+[&x×·]\s+|\s+feat\.?\s+")
_AND_OTHERS = re.compile(r"\s+외$")
_BESIDE = re.compile(r"\s*\(([^()]+)\)\s*$")  # 아이유 (IU)
_SCRIPTS = re.compile("[가-힣]+|[^가-힣\\W_]+")
DATE, _LETTER = " date:", " letter:"  # what terms begin with that are no words: these have no space
MAX_TERM, MAX_TITLE = 200, 500
MAX_WORDS = 6  # of a name that is also found when it is written without spaces


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The texts of an event that a search looks through. `day` is the day of the event where the venue is."""

    title: str
    artist: str
    venue: str
    address: str
    day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTerms:
    """The terms of an event, by where they stand. `title` is the whole title as one word.

    words: those terms that are one word. The others are phrases: several words, written without spaces.
    """

    title: str
    at: Mapping[Place, Set[str]]
    words: Set[str]


EMPTY = EventTerms(title="", at={}, words=frozenset())


class Aliases:
    """Which spellings belong together, over any number of hops: `GD`, `G-DRAGON`, `지드래곤`."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._leader: dict[str, str] = {}
        self._spellings: dict[str, set[str]] = {}
        for pair in pairs:
            folded = [(joined(text), text) for text in map(fold, pair)]
            if all(key for key, _ in folded):
                self._join(folded)
        self._longest = max(map(len, self._leader), default=0)
        self._beginnings = {key[:2] for key in self._leader}
        self._found: dict[str, frozenset[str]] = {}  # by text: venues and addresses come again

    def _join(self, folded: list[tuple[str, str]]) -> None:
        leaders = [self._leader.setdefault(key, key) for key, _ in folded]
        kept = self._spellings.setdefault(leaders[0], set())
        for leader in leaders[1:]:
            if leader != leaders[0]:
                for spelling in self._spellings.pop(leader, set()):
                    kept.add(spelling)
                    self._leader[joined(spelling)] = leaders[0]
                self._leader[leader] = leaders[0]
        kept.update(text for _, text in folded)

    def of(self, name: str) -> set[str]:
        """All folded spellings of a name (itself too), or none. `name` is folded and joined."""
        leader = self._leader.get(name)
        return set() if leader is None else self._spellings[leader]

    def within(self, folded: str) -> frozenset[str]:
        """The keys of the names that a folded text contains.

        Hangul of two syllables or more is found within words, since Korean words are written together. Everything else
        must be a whole word, or several: `IU` is not in `stadium`, nor `비` in `나비`.
        """
        if (known := self._found.get(folded)) is None:
            known = self._found[folded] = frozenset(self._within(folded))
        return known

    def _within(self, folded: str) -> set[str]:
        tokens = [WORD.findall(token) for token in folded.split()]
        parts = [part for token in tokens for part in token]
        runs = [run for part in parts for run in _SCRIPTS.findall(part)]
        found = set()
        for words in {tuple(parts), tuple("".join(token) for token in tokens), tuple(runs)}:
            for first in range(len(words)):
                if "".join(words[first : first + 2])[:2] not in self._beginnings and words[first] not in self._leader:
                    continue
                key = ""
                for word in words[first : first + MAX_WORDS]:
                    key += word
                    if key in self._leader:
                        found.add(key)
        compact = "".join(parts)
        for first in range(len(compact) - 1):
            if compact[first : first + 2] in self._beginnings and HANGUL.match(compact, first):
                for last in range(first + 2, min(len(compact), first + self._longest) + 1):
                    key = compact[first:last]
                    if key in self._leader and HANGUL.search(key[-1]):
                        found.add(key)
        return found


def documents(events: Iterable[Texts], aliases: Aliases) -> list[EventTerms]:
    """The terms of each event. One text that cannot be read must not keep the others out of the index: it has none."""
    return [_document_or_empty(event, aliases) for event in events]


def _document_or_empty(event: Texts, aliases: Aliases) -> EventTerms:
    try:
        return document(event, aliases)
    except Exception:
        logger.exception("an event has no terms: %s", event)
        return EMPTY


def document(event: Texts, aliases: Aliases) -> EventTerms:
    """The terms of an event."""
    texts = title, artist, venue, address = [
        fold(text) for text in (event.title, event.artist, event.venue, event.address)
    ]
    names, listed = _names(artist)
    whole = joined(title)
    spelt: set[str] = set()
    for name in (*names, *listed, whole, *map(joined, _segments(title))):
        spelt |= {joined(spelling) for spelling in aliases.of(name)}
    other = set[str]()
    for key in set[str]().union(*map(aliases.within, texts)):
        other |= aliases.of(key)
    abbreviated = frozenset[str]().union(*map(_abbreviations, (title, artist, venue, *other)))
    at = {
        Place.WORD: terms(title) | terms(artist) | letters("".join(texts)),
        Place.VENUE: terms(venue) | terms(address),
        Place.ALIAS: abbreviated.union(dates(event.day), *map(_alias_terms, other)),
        Place.NAME: names,
        Place.LISTED: listed | (spelt - names),
    }
    words = abbreviated.union(*map(words_of, (*texts, *other)))
    return EventTerms(
        title=whole[:MAX_TITLE], at={place: _storable(found) for place, found in at.items()}, words=_storable(words)
    )


def _storable(found: Set[str]) -> Set[str]:
    """Without terms that are too long for an index of PostgreSQL. One letter can become eighteen when it is folded."""
    if max(map(len, found), default=0) <= MAX_TERM:
        return found
    return {term for term in found if len(term) <= MAX_TERM}


def is_word(term: str) -> bool:
    """Whether a term is part of a text, and not the term of a date or of a letter."""
    return not term.startswith(" ")


def letters(folded: str) -> set[str]:
    """The terms of every character that can be seen.

    Whoever asks for one character means any text that has it, and too many words do to be looked through.
    """
    return {letter(character) for character in set(folded) if character != " "}


@lru_cache(maxsize=4096)
def letter(character: str) -> str:
    return _LETTER + character


@lru_cache(maxsize=4096)
def dates(day: date) -> frozenset[str]:
    """The terms by which a day is found: of its year, month, day, and what people leave out of them."""
    return frozenset(f"{DATE}{day:{pattern}}" for pattern in ("%Y", "%Y-%m", "%Y-%m-%d", "%m", "%m-%d"))


@lru_cache(maxsize=4096)  # venues and addresses come again
def terms(folded: str) -> frozenset[str]:
    """The words of a text, and its names of several words as one."""
    return (words_of(folded) | set(map(joined, _segments(folded)))) - {""}


@lru_cache(maxsize=4096)
def _alias_terms(spelling: str) -> frozenset[str]:
    return terms(spelling) | {joined(spelling)} | letters(spelling)


@lru_cache(maxsize=4096)
def _segments(folded: str) -> tuple[str, ...]:
    """The parts of a text that are names of two to six words."""
    parts = (part.strip() for part in _SEGMENTS.split(folded))
    return tuple(part for part in parts if 2 <= len(part.split()) <= MAX_WORDS)


@lru_cache(maxsize=4096)
def _abbreviations(folded: str) -> frozenset[str]:
    """The first syllables of names of several Korean words: `오유` for 오페라의 유령."""
    found = set()
    for segment in (folded, *_segments(folded)):
        words = segment.split()
        if 2 <= len(words) <= MAX_WORDS and all(HANGUL.match(word) for word in words):
            found.add("".join(word[0] for word in words))
    return frozenset(found)


def _names(artist: str) -> tuple[set[str], set[str]]:
    """The whole names of the only artist, and those of several, without spaces and punctuation."""
    several = _LIST.split(_AND_OTHERS.sub("", artist))
    spelt: set[str] = set()
    for name in several:
        beside = _BESIDE.search(name)
        spelt.add(joined(name))
        if beside and beside.start():
            spelt |= {joined(name[: beside.start()]), joined(beside[1])}
        elif HANGUL.search(name):
            tokens = name.split()
            korean = [token for token in tokens if HANGUL.search(token)]
            if 0 < len(korean) < len(tokens):  # f(x) 에프엑스
                spelt |= {joined("".join(korean)), joined("".join(t for t in tokens if t not in korean))}
    spelt.discard("")
    return (spelt, set()) if len(several) == 1 and not _AND_OTHERS.search(artist) else (set(), spelt)
