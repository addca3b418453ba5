"""Hangul as the keys that type it on the Korean keyboard (dubeolsik, KS X 5002), and its initial consonants.

The arithmetic of syllables is Unicode's: The Unicode Standard, section 3.12, "Conjoining Jamo Behavior".
"""

import re

_FIRST_SYLLABLE, _SYLLABLES, _VOWELS, _TRAILS = 0xAC00, 11172, 21, 28

_VOWELS_TYPED = "k o i O j p u P h hk ho hl y n nj np nl b m ml l"
_TRAILS_TYPED = "r R rt s sw sg e f fr fa fq ft fx fv fg a q qt t T d w c z x v g"
LEADING_KEYS = "rRseEfaqQtTdwWczxvg"
_VOWEL_KEYS = _VOWELS_TYPED.split()
_TRAIL_KEYS = ["", *_TRAILS_TYPED.split()]
_LETTERS = "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎㄸㅃㅉㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_LETTER_KEYS = [*_TRAIL_KEYS[1:], "E", "Q", "W", *_VOWEL_KEYS]
KEYS_OF_LETTERS = dict(zip(_LETTERS, _LETTER_KEYS, strict=True))
INITIALS = re.compile("[ㄱ-ㅎ]+")
LETTERS = re.compile("[ㄱ-ㅣ]")


def keystrokes(text: str) -> str:
    """The text with its hangul replaced by keys: `아이유` is `dkdldb`.

    `아잉` is `dkdld`: what is half typed is a part of it.
    """
    return "".join(map(_keys, text))


def _keys(character: str) -> str:
    at = ord(character) - _FIRST_SYLLABLE
    if 0 <= at < _SYLLABLES:
        block, trail = divmod(at, _TRAILS)
        leading, vowel = divmod(block, _VOWELS)
        return LEADING_KEYS[leading] + _VOWEL_KEYS[vowel] + _TRAIL_KEYS[trail]
    return KEYS_OF_LETTERS.get(character, character)


def initials(text: str) -> str:
    """The keys of the initial consonants of a text's hangul: `아이유` is `ddd`. Empty without hangul."""
    found = (ord(character) - _FIRST_SYLLABLE for character in text)
    return "".join(LEADING_KEYS[at // (_VOWELS * _TRAILS)] for at in found if 0 <= at < _SYLLABLES)
