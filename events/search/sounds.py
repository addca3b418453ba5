"""How a name sounds, roughly, whichever script it is written in: `세종` and `sejong`, `마룬` and `maroon` are equal.

Hangul is romanised by koroman (the Revised Romanisation, with the sound changes between syllables). What then still
differs between that and what people write is taken away from both: voice, aspiration, doubled letters, the vowels that
English has no letter for.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

import koroman  # type: ignore[import-untyped]

from events.search.folding import HANGUL

MAX_SYLLABLES, MAX_LETTERS = 12, 24  # of a name that somebody writes as it sounds
_LATIN = re.compile("[a-z0-9]+")


def _rules(*rules: tuple[str, str]) -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(pattern), heard) for pattern, heard in rules]


# Family names as they are written, and what koroman makes of them.
_FAMILY_NAMES = re.compile(r"^(?:(lee|yi|rhee)|(park)|(choi)|(oh)|(noh|roh)|(woo)|(shin)|(lim)|(ryu|yoo))(?=.{3})")
_FAMILY_SOUNDS = ("i", "bak", "choe", "o", "no", "u", "sin", "im", "yu")
_ENGLISH = _rules(
    (r"c(?=[eiy])", "s"), (r"ey\b|(?<=[^aeiou])y(?![aeiou])", "i"), (r"tion", "seon"), (r"ph", "p"),
    (r"ck|q|c(?!h)", "k"), (r"x", "ks"), (r"oo|ou", "u"), (r"ee|ea", "i"), (r"ay|ai", "ae"), (r"wh", "h"),
    (r"(?<=[aeiou])r(?![aeiou])", ""),
)  # fmt: skip
_EITHER = _rules(
    (r"eu", ""), (r"yeo|yo|yu|ya", "y"), (r"ye|wae|we|oe|ae", "e"), (r"eo|wo", "o"), (r"wa", "a"), (r"[wu]i", "i"),
    (r"ei", "e"), (r"u", "o"), (r"ch|j|z", "c"), (r"sh|th", "s"),
    (r"[gk]+h?", "k"), (r"[dt]+", "t"), (r"[bpfv]+", "p"), (r"[lr]+", "l"),
)  # fmt: skip
_TWICE = re.compile(r"([a-z])\1+")


@lru_cache(maxsize=50_000)
def sound(text: str) -> str:
    """How a folded text without punctuation sounds. Empty if it has neither hangul nor Latin letters, or is very long."""
    return sounds([text])[0]


def sounds(texts: Sequence[str]) -> list[str]:
    """How each of many texts sounds. koroman takes nearly as long for one text as for a hundred."""
    korean = [text for text in texts if HANGUL.search(text) and len(text) <= MAX_SYLLABLES]
    romanised = dict(zip(korean, koroman.romanize("\n".join(korean)).split("\n"), strict=False))
    return [_heard(text, romanised.get(text)) for text in texts]


def _heard(text: str, romanised: str | None) -> str:
    if romanised is None and (len(text) > MAX_LETTERS or HANGUL.search(text)):
        return ""
    spelt = "".join(_LATIN.findall(romanised or text))
    if not any(map(str.isalpha, spelt)):
        return ""
    if romanised is None:
        spelt = _FAMILY_NAMES.sub(lambda found: _FAMILY_SOUNDS[(found.lastindex or 1) - 1], spelt)
        for pattern, replacement in _ENGLISH:
            spelt = pattern.sub(replacement, spelt)
    for pattern, heard in _EITHER:
        spelt = pattern.sub(heard, spelt)
    return _TWICE.sub(r"\1", spelt)
