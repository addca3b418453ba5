"""Which terms of the index a word of a search means, and how well each of them fits."""

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from events.search.documents import is_word, letter
from events.search.keyboard import keystrokes
from events.search.queries import PARTICLES, Needle, divide, splits
from kernel.db.sql import fetch_planned

MAX_TERMS, MAX_PHRASES = 200, 60  # that a word may mean; the shortest
MIN_PHRASE = 9  # keys of what is looked for anywhere in a phrase, not only where it begins
MAX_SIMILAR = 40
LEAST_SIMILARITY = 0.3  # below that nearly everything is
MIN_SOUND = 3  # letters of a word that is looked for by its sound
MAX_DIVIDED = 40
VOWELS = re.compile("[aeiouy]")
ABBREVIATION = re.compile("[가-힣]{2,4}")


@dataclass(frozen=True, slots=True)
class Term:
    id: int
    text: str
    keys: str
    initials: str
    sound: str


@dataclass
class Meaning:
    """The terms that a word may mean. Those of `similar` only resemble it. `parts`: it was read as several words."""

    needle: Needle
    exact: dict[int, Term] = field(default_factory=dict)
    prefix: dict[int, Term] = field(default_factory=dict)
    inside: dict[int, Term] = field(default_factory=dict)
    similar: dict[int, Term] = field(default_factory=dict)
    parts: tuple["Meaning", ...] = ()

    @cached_property
    def direct(self) -> list[int]:
        if len(self.needle.text) == 1 and self.inside:  # the character's own term
            return [*self.exact, *self.inside]
        return [*self.exact, *self.prefix, *self.inside]

    @cached_property
    def all(self) -> list[int]:
        return [*self.direct, *self.similar]


@dataclass(frozen=True, slots=True)
class Lookup:
    """A query of the vocabulary for a word. `{at}` in it, and in the `condition` in it, numbers its `values`."""

    needle: Needle
    query: str
    values: dict[str, Any]
    condition: str = ""
    least: float = 1  # the similarity that `%` in it asks for


def meanings(needles: Sequence[Needle]) -> dict[Needle, Meaning]:
    """What each word means: the terms that contain it; where there is none, terms that resemble it or parts of it."""
    found = _contained(needles)
    unknown = [needle for needle in needles if not found[needle].direct and not needle.is_literal]
    _add_similar(found, unknown)
    _add_parts(found, unknown)
    _add_abbreviated(found, [n for n in unknown if not found[n].similar and not found[n].parts])
    return found


# --- Terms that contain the word -----------------------------------------------------------------------------------

_COLUMNS = "SELECT {at} AS at, id, text, keys, initials, sound FROM search_terms"
_EXACT = "WHERE text = ANY(%(exact{at})s::text[])"
_SAME_SOUND = "WHERE sound = %(sound{at})s ORDER BY is_phrase, length(text), id LIMIT %(most)s"
_WORDS = "WHERE NOT is_phrase AND {condition} ORDER BY length(text), id LIMIT %(most)s"
# A phrase that contains a word: so does one of its words, unless what is asked for is several words itself.
_PHRASES = "WHERE is_phrase AND {condition} ORDER BY length(text), id LIMIT %(most_phrases)s"

_KEYS_CONTAIN = "keys LIKE %(keys{at})s"
_TEXT_BEGINS = "text >= %(text{at})s AND text < %(end{at})s"
_INITIALS_CONTAIN = "initials LIKE %(keys{at})s"
_INITIALS_ARE = "initials = %(key{at})s"


def _contained(needles: Sequence[Needle]) -> dict[Needle, Meaning]:
    """The terms that contain each word, by how. One round trip."""
    found = {needle: Meaning(needle) for needle in needles}
    lookups = [lookup for needle in needles for lookup in _containing(needle)]
    for needle, term in _fetch(lookups):
        _sort_in(found[needle], term)
    return found


def _containing(needle: Needle) -> Iterator[Lookup]:
    exact = [needle.text, *filter(None, [needle.term]), *([letter(needle.text)] if len(needle.text) == 1 else [])]
    yield Lookup(needle, _EXACT, {"exact": exact})
    sound = needle.sound
    if len(needle.text) > 1 and len(sound) > 1 and VOWELS.search(sound):
        yield Lookup(needle, _SAME_SOUND, {"sound": sound})
    if needle.is_initials:
        condition = _INITIALS_CONTAIN if len(needle.keys) > 1 else _INITIALS_ARE
        values = {"keys": _anywhere(needle.keys), "key": needle.keys}
        yield Lookup(needle, _WORDS, values, condition)
        if len(needle.keys) > 2:
            yield Lookup(needle, _PHRASES, values, condition)
        return
    keys = needle.keys.lower()
    typed = {"keys": _anywhere(keys)}
    beginning = {"text": needle.text, "end": needle.text + "\U0010ffff"}
    # A character is a term itself, in every text that has it.
    is_short = len(needle.text) == 1 and len(keys) < 3
    yield Lookup(needle, _WORDS, beginning if is_short else typed, _TEXT_BEGINS if is_short else _KEYS_CONTAIN)
    is_long = len(keys) >= MIN_PHRASE
    yield Lookup(needle, _PHRASES, typed if is_long else beginning, _KEYS_CONTAIN if is_long else _TEXT_BEGINS)


def _anywhere(text: str) -> str:
    """A pattern of LIKE."""
    escaped = text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"


def _fetch(lookups: Sequence[Lookup]) -> Iterator[tuple[Needle, Term]]:
    """The terms that each of them finds. One round trip."""
    if not lookups:
        return
    parts = []
    parameters = {"most": MAX_TERMS, "most_phrases": MAX_PHRASES, "similar": MAX_SIMILAR}
    for at, lookup in enumerate(lookups):
        query = lookup.query.replace("{condition}", lookup.condition)
        parts.append(f"({_COLUMNS} {query})".replace("{at}", str(at)))
        parameters |= {f"{name}{at}": value for name, value in lookup.values.items()}
    similarity = {"pg_trgm.similarity_threshold": f"{min(lookup.least for lookup in lookups):.2f}"}
    for row in fetch_planned(" UNION ALL ".join(parts), parameters, session=similarity):
        yield lookups[row["at"]].needle, Term(row["id"], row["text"], row["keys"], row["initials"], row["sound"])


def _sort_in(meaning: Meaning, term: Term) -> None:
    needle = meaning.needle
    if term.text in {needle.text, needle.term}:
        meaning.exact[term.id] = term
    elif term.text == letter(needle.text):
        meaning.inside[term.id] = term
    elif not is_word(term.text):
        pass
    elif term.text.startswith(needle.text) or (needle.is_initials and term.initials == needle.keys):
        meaning.prefix[term.id] = term
    elif needle.text in term.text or _is_typed(needle, term):
        meaning.inside[term.id] = term
    else:
        meaning.similar[term.id] = term


def _is_typed(needle: Needle, term: Term) -> bool:
    """Whether the term continues what is typed: its initials, or a last syllable that is not finished."""
    if needle.is_initials:
        return True
    unfinished = needle.has_letters or (ord(needle.text[-1]) - 0xAC00) % 28 > 0
    return needle.is_hangul and unfinished and needle.keys in keystrokes(term.text)


# --- Terms that resemble the word ----------------------------------------------------------------------------------

# Each for words and for phrases: these have an index of their own.
_OF = ("NOT is_phrase", "is_phrase")
_RESEMBLING = (
    "WHERE {condition} AND keys %% %(keys{at})s"
    " AND length(keys) BETWEEN length(%(keys{at})s) - 2 AND length(%(keys{at})s) + 2"
    " ORDER BY similarity(keys, %(keys{at})s) DESC LIMIT %(similar)s"
)
_TYPED = "WHERE {condition} AND keys LIKE %(keys{at})s ORDER BY length(text), id LIMIT %(similar)s"
_SOUNDING = "WHERE {condition} AND sound LIKE %(sound{at})s ORDER BY length(sound), id LIMIT %(similar)s"
_RHYMING = (
    "WHERE NOT is_phrase AND sound %% %(sound{at})s ORDER BY similarity(sound, %(sound{at})s) DESC LIMIT %(similar)s"
)
_ABBREVIATED = "WHERE text LIKE %(syllables{at})s AND length(text) <= 12 ORDER BY length(text), id LIMIT %(similar)s"
_PARTS = "WHERE text = ANY(%(splits{at})s::text[])"


def _add_similar(found: dict[Needle, Meaning], unknown: list[Needle]) -> None:
    lookups = [lookup for needle in unknown for lookup in _resembling(needle)]
    for needle, term in _fetch(lookups):
        on_other_keyboard = needle.is_initials  # ㅂㅈㄷㄱ
        if on_other_keyboard or _is_mistyped(needle, term) or _sounds_alike(needle, term):
            found[needle].similar[term.id] = term


def _resembling(needle: Needle) -> Iterator[Lookup]:
    keys, sound = needle.keys.lower(), needle.sound
    is_compared_with_phrases = len(keys) >= MIN_PHRASE and not needle.is_phrase
    if _allowed_sounds(sound):
        yield Lookup(needle, _RHYMING, {"sound": sound}, least=_similarity(sound, _allowed_sounds(sound)))
    for of in _OF if is_compared_with_phrases else _OF[:1]:
        if needle.is_initials:
            yield Lookup(needle, _TYPED, {"keys": _anywhere(keys)}, of)
            continue
        if allowed := _allowed_keys(needle, len(keys) + 1):
            yield Lookup(needle, _RESEMBLING, {"keys": keys}, of, least=_similarity(keys, allowed))
        if len(sound) > MIN_SOUND:
            pattern = f"%{sound}%" if len(sound) > MIN_SOUND + 1 else f"{sound}%"
            yield Lookup(needle, _SOUNDING, {"sound": pattern}, of)


def _similarity(text: str, allowed: int) -> float:
    """How similar, to pg_trgm, a text is at least that differs by so many letters."""
    trigrams, spoilt = len(text) + 1, 4 * allowed  # by two that change places
    return max(LEAST_SIMILARITY, (trigrams - spoilt) / (trigrams + spoilt))


def _is_mistyped(needle: Needle, term: Term) -> bool:
    """One key wrong, left out, too many or out of order in a word of five to nine keys; two in a longer one."""
    allowed = _allowed_keys(needle, max(len(needle.keys), len(term.keys)))
    return _differ_by(needle.keys.lower(), term.keys, at_most=allowed)


def _allowed_keys(needle: Needle, length: int) -> int:
    return 0 if length < (6 if needle.is_hangul else 5) else 1 if length < 10 else 2


def _sounds_alike(needle: Needle, term: Term) -> bool:
    heard, said = needle.sound, term.sound
    if not heard or not said or not is_word(term.text):
        return False
    if heard in said:
        return True
    return abs(len(heard) - len(said)) <= 1 and _differ_by(heard, said, at_most=_allowed_sounds(heard))


def _allowed_sounds(heard: str) -> int:
    return len(heard) // 6


def _differ_by(one: str, other: str, *, at_most: int) -> bool:
    """Whether at most so many letters are wrong, left out, too many or out of order."""
    from rapidfuzz.distance import OSA  # here: only `web` searches, and it takes 3 MB and 50 ms

    return OSA.distance(one, other, score_cutoff=at_most) <= at_most


# --- Parts of the word ---------------------------------------------------------------------------------------------


def _add_parts(found: dict[Needle, Meaning], unknown: list[Needle]) -> None:
    """A word that no term contains, but that is made of terms: each of these is a word of its own."""
    long = [needle for needle in unknown if 3 <= len(needle.text) <= MAX_DIVIDED]
    known: dict[Needle, set[str]] = {}
    for needle, term in _fetch([Lookup(needle, _PARTS, {"splits": sorted(splits(needle))}) for needle in long]):
        known.setdefault(needle, set()).add(term.text)
    parts = {
        needle: divide(needle.text, texts) or _without_particle(needle.text, texts) for needle, texts in known.items()
    }
    needles = list(dict.fromkeys(Needle(part) for of in parts.values() for part in of))
    if needles:
        each = _contained(needles)
        for needle, divided in parts.items():
            found[needle].parts = tuple(each[Needle(part)] for part in divided)


def _without_particle(text: str, known: Container[str]) -> tuple[str, ...]:
    """`임영웅의` is `임영웅`."""
    bare = PARTICLES.sub("", text)
    return (bare,) if bare in known else ()


def _add_abbreviated(found: dict[Needle, Meaning], unknown: list[Needle]) -> None:
    """Names that begin with its first syllable and have the others in this order: `올공` for 올림픽공원."""
    short = [needle for needle in unknown if ABBREVIATION.fullmatch(needle.text)]
    for needle, term in _fetch(
        [Lookup(needle, _ABBREVIATED, {"syllables": "%".join(needle.text) + "%"}) for needle in short]
    ):
        found[needle].similar[term.id] = term
