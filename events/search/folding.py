"""One spelling of a text, and its words."""

import re
import unicodedata
from functools import lru_cache

WORD = re.compile(r"[^\W_]+")
HANGUL = re.compile("[가-힣]")
# NFKC makes conjoining jamo of these letters, which then join their neighbours: ㅇㅏ would become 아.
_COMPATIBILITY_JAMO = re.compile("([\u3131-\u318e]+)")
_PLAIN = re.compile("[ -~가-힣]*")  # nothing in it is invisible
_ACCENTS = re.compile("[\u0300-\u036f\ufe00-\ufe0f]")
# The conjoining jamo that no syllable took, as the letters that a keyboard types: leading, vowels, trailing.
_LEADING = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_TRAILING = "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
_LONELY = {
    first + at: letter
    for first, letters in ((0x1100, _LEADING), (0x1161, _VOWELS), (0x11A8, _TRAILING))
    for at, letter in enumerate(letters)
}
_UNIFIED = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′´`ʼʻ", "'"),
        **dict.fromkeys("“”„‟″〝〞", '"'),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **dict.fromkeys("・‧•", "·"),
        "\u3164": " ",  # the filler of hangul, which is a letter to Unicode
        "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h",
    }
)  # fmt: skip


@lru_cache(maxsize=4096)  # venues and addresses come again
def fold(text: str) -> str:
    """The text in one spelling: composed, narrow, without case, accents and invisible characters, with plain quotes.

    Unicode's NFKC and case folding (UAX #15, UAX #44), but for the letters of hangul that stand alone.
    """
    spelt = [
        part if at % 2 else unicodedata.normalize("NFKC", part)
        for at, part in enumerate(_COMPATIBILITY_JAMO.split(text.translate(_UNIFIED)))
    ]
    folded = unicodedata.normalize("NFD", "".join(spelt).casefold().translate(_UNIFIED))
    composed = unicodedata.normalize("NFC", _ACCENTS.sub("", folded)).translate(_LONELY)
    if _PLAIN.fullmatch(composed):
        return composed
    return "".join(map(_visible, composed))


def _visible(character: str) -> str:
    if character.isspace():
        return " "
    return "" if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Cn"} else character


def joined(text: str) -> str:
    """The letters and digits of a folded text, without what stands between them."""
    return "".join(WORD.findall(text))


@lru_cache(maxsize=4096)  # venues and addresses come again
def words_of(folded: str) -> frozenset[str]:
    """Each word of a folded text as it stands (`g-dragon`), without punctuation (`gdragon`), and its parts (`dragon`)."""
    found: set[str] = set()
    for token in folded.split():
        parts = WORD.findall(token)
        found.update((token, "".join(parts)), parts)
    found.discard("")
    return frozenset(found)
