"""What a search text asks for: its words, and what each of them may mean."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from events.search.documents import DATE
from events.search.folding import HANGUL, WORD, fold, joined
from events.search.keyboard import INITIALS, LETTERS, keystrokes
from events.search.sounds import sound

MAX_WORDS = 8
MAX_LENGTH = 100  # letters of the text that are looked at; names are shorter

# Words that say nothing of which event is meant.
_NOISE = "공연 티켓 예매 예매하기 예약 티켓팅 좌석 표 구매 ticket tickets booking"
NOISE = frozenset(_NOISE.split())
# Words that people add to a name, whatever the event is called.
_GENRES = "콘서트 concert 뮤지컬 musical 내한 내한공연 라이브 live 투어 tour 팬미팅 일정"
GENRES = frozenset(_GENRES.split())
PARTICLES = re.compile("(?<=..)(?:에서|으로|이랑|의|은|는|이|가|을|를|와|과|에|도|로|랑)$")
# Characters that are meant literally wherever they stand.
LITERALS = re.compile(r"[%_\\]")
_DATE = re.compile(
    r"(?<!\S)(?:(?P<year>(?:19|20)\d\d)(?:년\s*|[-./]))?(?P<month>1[0-2]|0?[1-9])(?:월|[-./]|(?!\S))"
    r"(?:\s*(?P<day>3[01]|[12]\d|0?[1-9])일?)?(?!\S)"
)
_BETWEEN_NAMES = re.compile(r"[/,;|·+&×(){}\[\]<>〈〉《》「」『』\"]+")
_YEAR = re.compile(r"((?:19|20)\d\d)년?")


@dataclass(frozen=True)
class Needle:
    """A word that terms are compared with. `text` is folded."""

    text: str
    is_literal: bool = False  # its punctuation counts
    term: str = ""  # a term that it also stands for: of a date
    is_phrase: bool = False  # several words, of which each is compared by itself, too

    @cached_property
    def keys(self) -> str:
        return keystrokes(self.text)

    @cached_property
    def is_initials(self) -> bool:
        return INITIALS.fullmatch(self.text) is not None

    @cached_property
    def has_letters(self) -> bool:
        """Whether it has letters of hangul that are no syllable."""
        return LETTERS.search(self.text) is not None

    @cached_property
    def is_hangul(self) -> bool:
        return HANGUL.search(self.text) is not None

    @cached_property
    def sound(self) -> str:
        return "" if self.is_literal else sound(self.text)


@dataclass(frozen=True, slots=True)
class Query:
    """A search text, read. `whole` is all of it as one word; `title` is how the title of this text is stored."""

    whole: Needle | None
    words: tuple[Needle, ...]
    title: str
    name: Needle | None = None  # all of it but the kind of event, as one word

    @property
    def needles(self) -> list[Needle]:
        return list(dict.fromkeys(filter(None, (self.whole, *self.words, self.name))))


def read(text: str) -> Query:
    """The words of a search text, as they are compared. None, if it has nothing that can be seen."""
    folded = " ".join(fold(text[: MAX_LENGTH * 4]).split())[:MAX_LENGTH]
    title = "" if LITERALS.search(folded) else joined(folded)
    dates = [_date(found) for found in _DATE.finditer(folded) if found["year"] or "월" in found[0] or found["day"]]
    rest = folded
    for found in dates:
        rest = rest.replace(found.text, " ", 1)
    tokens = [token for given in rest.split() for token in _divided(given)][:MAX_WORDS]
    if len(tokens) > 1 and all(len(token) == 1 for token in tokens):  # 아 이 유
        tokens = ["".join(tokens)]
    kept = [token for token in tokens if token not in NOISE] or ([] if dates else tokens)
    words = [*dates, *map(_needle, kept)]
    if any(not word.is_literal for word in words):  # then `&` and `-` stand for nothing
        words = [word for word in words if joined(word.text) or LITERALS.search(word.text)]
    whole = None
    if title and not dates and (whole_text := joined("".join(kept))):
        whole = Needle(whole_text, is_phrase=len(kept) > 1)
    specific = [word.text for word in words if word.text not in GENRES and not word.is_literal]
    name = Needle("".join(specific)) if 0 < len(specific) < len(words) and whole else None
    return Query(whole, tuple(dict.fromkeys(words)), title, name)


def _divided(token: str) -> list[str]:
    """`AKMU/악뮤` is two names, `AC/DC` and `f(x)` are one."""
    parts = [part for part in _BETWEEN_NAMES.split(token) if part]
    return parts if len(parts) > 1 and all(len(joined(part)) > 2 or HANGUL.search(part) for part in parts) else [token]


def _needle(token: str) -> Needle:
    letters = joined(token)
    if LITERALS.search(token) or not letters:
        return Needle(token, is_literal=True)
    if year := _YEAR.fullmatch(token):
        return Needle(year[1], term=DATE + year[1])
    return Needle(token, is_literal=True) if _is_mostly_punctuation(token, letters) else Needle(letters)


def _is_mostly_punctuation(token: str, letters: str) -> bool:
    """`#3`, `c++`: without its punctuation it would be anything."""
    return len(letters) < 2 and len(token) > 1 and not HANGUL.search(token) and not LETTERS.search(token)


def _date(found: re.Match[str]) -> Needle:
    year, month, day = found["year"], int(found["month"]), found["day"]
    parts = [year] * bool(year) + [f"{month:02}"] + ([f"{int(day):02}"] if day else [])
    return Needle(found[0].strip(), term=DATE + "-".join(parts))


def splits(needle: Needle) -> set[str]:
    """The parts that a word may be made of: `아이유콘서트` of `아이유` and `콘서트`."""
    text = needle.text
    ends = [(first, last) for first in range(len(text)) for last in range(first + 1, len(text) + 1)]
    return {text[first:last] for first, last in ends} - {text}


def divide(text: str, known: Iterable[str]) -> tuple[str, ...]:
    """The fewest known parts that make up the text, or none. At most one of them is a single syllable."""
    words = {word for word in known if _may_be_part(word)}
    best: list[tuple[int, int, tuple[str, ...]] | None] = [(0, 0, ())] + [None] * len(text)
    for last in range(1, len(text) + 1):
        for first in range(max(0, last - 30), last):
            before, part = best[first], text[first:last]
            if before is None or part not in words:
                continue
            singles = before[1] + (len(part) == 1)
            found = (before[0] + 1, singles, (*before[2], part))
            kept = best[last]
            if singles <= 1 and (kept is None or found[:2] < kept[:2]):
                best[last] = found
    found_all = best[len(text)]
    return found_all[2] if found_all and len(found_all[2]) > 1 else ()


def _may_be_part(word: str) -> bool:
    if HANGUL.search(word):
        return WORD.fullmatch(word) is not None
    return len(word) >= (2 if word.isdigit() else 3)
