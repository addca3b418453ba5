"""Which terms of the index a word of a search means, and how well each of them fits."""

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from events.search.documents import is_word, letter
from events.search.queries import PARTICLES, Needle, divide, splits
from kernel.db.sql import fetch_planned

MAX_TERMS = 400  # that a word may mean; the shortest
MAX_SIMILAR = 40
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
        return [*self.exact, *self.prefix, *self.inside]

    @cached_property
    def all(self) -> list[int]:
        return [*self.direct, *self.similar]


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
# `text` first: what is written so before what is only typed so.
_CONTAINING = (
    "WHERE ({condition}) OR text = ANY(%(exact{at})s::text[]) OR (sound = %(sound{at})s AND sound <> '')"
    " ORDER BY text <> ALL(%(exact{at})s::text[]), length(text), id LIMIT %(most)s"
)


def _contained(needles: Sequence[Needle]) -> dict[Needle, Meaning]:
    """The terms that contain each word, by how. One round trip."""
    found = {needle: Meaning(needle) for needle in needles}
    for at, term in _fetch([_CONTAINING] * len(needles), [_containing(needle) for needle in needles]):
        _sort_in(found[needles[at]], term)
    return found


def _containing(needle: Needle) -> dict[str, Any]:
    keys = needle.keys
    pattern = f"%{_escaped(keys)}%"
    condition = "keys ILIKE %(keys{at})s"
    exact = [needle.text, *filter(None, [needle.term])]
    if len(needle.text) == 1:
        exact.append(letter(needle.text))
        if len(keys) < 3:  # no trigram: the index of texts finds how words begin, and the letter is in all the others
            condition, pattern = "text LIKE %(keys{at})s", _escaped(needle.text) + "%"
    if needle.is_initials:
        condition = "initials LIKE %(keys{at})s" if len(keys) > 1 else "initials = %(initial{at})s"
    sound = needle.sound if len(needle.text) > 1 and len(needle.sound) > 1 and VOWELS.search(needle.sound) else ""
    return {"condition": condition, "keys": pattern, "initial": keys, "exact": exact, "sound": sound}


def _escaped(text: str) -> str:
    """For LIKE."""
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def _fetch(queries: Sequence[str], values: Sequence[dict[str, Any]]) -> list[tuple[int, Term]]:
    """The terms that each of the conditions finds, with the number of the condition. One round trip."""
    if not queries:
        return []
    parts, parameters = [], {"most": MAX_TERMS, "similar": MAX_SIMILAR}
    for at, (query, value) in enumerate(zip(queries, values, strict=True)):
        condition = value.get("condition", "")
        parts.append(f"({_COLUMNS} {query.replace('{condition}', condition)})".replace("{at}", str(at)))
        parameters |= {f"{name}{at}": each for name, each in value.items() if name != "condition"}
    rows = fetch_planned(" UNION ALL ".join(parts), parameters)
    return [(row["at"], Term(row["id"], row["text"], row["keys"], row["initials"], row["sound"])) for row in rows]


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
    return needle.is_hangul and unfinished and needle.keys in term.keys


# --- Terms that resemble the word ----------------------------------------------------------------------------------

_RESEMBLING = (
    "WHERE (keys %% %(keys{at})s AND length(keys) BETWEEN length(%(keys{at})s) - 2 AND length(%(keys{at})s) + 2)"
    " ORDER BY similarity(keys, %(keys{at})s) DESC LIMIT %(similar)s"
)
_TYPED = "WHERE keys ILIKE %(keys{at})s ORDER BY length(text), id LIMIT %(similar)s"
_SOUNDING = "WHERE sound LIKE %(sound{at})s AND sound <> '' ORDER BY length(sound), id LIMIT %(similar)s"
_RHYMING = "WHERE sound %% %(sound{at})s ORDER BY similarity(sound, %(sound{at})s) DESC LIMIT %(similar)s"
_ABBREVIATED = "WHERE text LIKE %(syllables{at})s AND length(text) <= 12 ORDER BY length(text), id LIMIT %(similar)s"
_PARTS = "WHERE text = ANY(%(splits{at})s::text[])"


def _add_similar(found: dict[Needle, Meaning], unknown: list[Needle]) -> None:
    queries, values, needles = [], [], []
    for needle in unknown:
        if needle.is_initials:
            queries.append(_TYPED)
            values.append({"keys": f"%{needle.keys}%"})
            needles.append(needle)
            continue
        if len(needle.keys) >= 4:
            queries.append(_RESEMBLING)
            values.append({"keys": needle.keys})
            needles.append(needle)
        if len(needle.sound) >= MIN_SOUND + 1:
            pattern = f"%{needle.sound}%" if len(needle.sound) > MIN_SOUND + 1 else f"{needle.sound}%"
            queries += [_SOUNDING, _RHYMING]
            values += [{"sound": pattern}, {"sound": needle.sound}]
            needles += [needle, needle]
    for at, term in _fetch(queries, values):
        needle = needles[at]
        on_other_keyboard = needle.is_initials  # ㅂㅈㄷㄱ
        if on_other_keyboard or _is_mistyped(needle, term) or _sounds_alike(needle, term):
            found[needle].similar[term.id] = term


def _is_mistyped(needle: Needle, term: Term) -> bool:
    """One key wrong, left out, too many or out of order in a word of five to nine keys; two in a longer one."""
    length = max(len(needle.keys), len(term.keys))
    allowed = 0 if length < (6 if needle.is_hangul else 5) else 1 if length < 10 else 2
    return _differ_by(needle.keys.lower(), term.keys.lower(), at_most=allowed)


def _sounds_alike(needle: Needle, term: Term) -> bool:
    heard, said = needle.sound, term.sound
    if not heard or not said or not is_word(term.text):
        return False
    if heard in said:
        return True
    allowed = len(heard) // 6
    return abs(len(heard) - len(said)) <= 1 and _differ_by(heard, said, at_most=allowed)


def _differ_by(one: str, other: str, *, at_most: int) -> bool:
    """Whether at most so many letters are wrong, left out, too many or out of order."""
    from rapidfuzz.distance import OSA  # here: only `web` searches, and it takes 3 MB and 50 ms

    return OSA.distance(one, other, score_cutoff=at_most) <= at_most


# --- Parts of the word ---------------------------------------------------------------------------------------------


def _add_parts(found: dict[Needle, Meaning], unknown: list[Needle]) -> None:
    """A word that no term contains, but that is made of terms: each of these is a word of its own."""
    long = [needle for needle in unknown if 3 <= len(needle.text) <= MAX_DIVIDED]
    known: dict[int, dict[str, Term]] = {}
    for at, term in _fetch([_PARTS] * len(long), [{"splits": sorted(splits(needle))} for needle in long]):
        known.setdefault(at, {})[term.text] = term
    parts = {
        long[at]: divide(long[at].text, terms) or _without_particle(long[at].text, terms) for at, terms in known.items()
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
    patterns = [{"syllables": "%".join(needle.text) + "%"} for needle in short]
    for at, term in _fetch([_ABBREVIATED] * len(short), patterns):
        found[short[at]].similar[term.id] = term


def ids(terms: Iterable[int]) -> str:
    """As an array in PostgreSQL."""
    return "{" + ",".join(map(str, terms)) + "}"
