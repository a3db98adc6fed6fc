"""How letters sound, roughly: a table for English, French, German, Spanish and Portuguese.

Two spellings of one name shall become alike, Kathryn and Catherine, Frédéric and Frederick. Each
language reads some letters otherwise; where they differ, the table takes a sound that is near both.

1. Lower case. A final e behind a consonant is mute ("Jane", "Monique"), one with an accent is not
   ("café").
2. ä, ö and ü are ae, oe and ue, ç and ß are s; other accents are left out.
3. c and g before e, i and y are soft. Then `_SOUNDS`, the longest entry first.
4. A sound twice in a row is one. What is no letter, a digit too, parts words: "_".
"""

from __future__ import annotations

import re
import unicodedata

BORDER = "_"
VOWELS = "aeiou"
SOUNDS = "_aeioupbtdkgfvszSCJmnlrhw"
"""S is sh, C is ch in "chat", J is j; all others are their letter. The border of a word first."""

LETTERS = "_abcdefghijklmnopqrstuvwxyz"

COARSE = "_Aptkfsnlr"
"""The classes of a coarse spelling: all vowels are one, voiced and voiceless are one."""

_SOUNDS = {
    "sch": "S", "sh": "S", "tch": "C", "chr": "kr", "chl": "kl", "ch": "C", "dg": "J", "j": "J",
    "ph": "f", "pf": "f", "th": "t", "dt": "t", "gh": "h", "rh": "r", "wh": "w", "gn": "n",
    "ck": "k", "xx": "ks", "qu": "k", "q": "k", "c": "k", "x": "ks", "ç": "s", "ß": "s", "y": "i",
    "ee": "i", "ea": "i", "ie": "i", "ai": "e", "ay": "e", "ei": "e", "ey": "e", "ae": "e",
    "oe": "e", "eu": "e", "ew": "u", "ue": "u", "oo": "u", "ou": "u", "eau": "o", "au": "o",
    "aw": "o", "oa": "o", "ow": "o",
}  # fmt: skip

_MUTE = re.compile(r"(?:(?<=[qg])ue|(?<=[^\W\d_aeiouy])e)(?![^\W\d_])")
_SOFT = re.compile(r"(c|(?<!g)g)(?=[eiy])")
_SOFTENED = {"c": "s", "g": "j"}
_GROUPS = re.compile("|".join(sorted(_SOUNDS, key=len, reverse=True)))
_TWICE = re.compile(r"(.)\1+")
_OTHER = re.compile(f"[^{SOUNDS}]+")
_NO_LETTER = re.compile("[^a-z]+")
_APART = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "æ": "ae", "œ": "oe", "ø": "oe", "å": "o", "ð": "d",
     "þ": "th", "ł": "l", "đ": "d", "ħ": "h", "ı": "i", "ŋ": "n", "ə": "e"}
)  # fmt: skip

_CLASSES = str.maketrans(
    {"a": "A", "e": "A", "i": "A", "o": "A", "u": "A", "b": "p", "d": "t", "g": "k", "v": "f",
     "w": "f", "z": "s", "S": "s", "C": "s", "J": "s", "m": "n", "h": None}
)  # fmt: skip


def sounds(text: str) -> str:
    """The sounds of a text, words between borders: "Kathryn" -> "_katrin_"; "" where none is."""
    text = unicodedata.normalize("NFC", text.lower())
    text = _MUTE.sub("", text).translate(_APART)
    if not text.isascii():
        text = "".join(map(_bare, text))
    text = _SOFT.sub(lambda found: _SOFTENED[found[1]], text)
    text = _GROUPS.sub(lambda found: _SOUNDS[found[0]], text)
    spelt = _TWICE.sub(r"\1", _OTHER.sub(BORDER, f"_{text}_"))
    return "" if spelt == BORDER else spelt


def letters(text: str) -> str:
    """The letters of a text, words between borders: "Zoë M." -> "_zoe_m_"."""
    text = unicodedata.normalize("NFC", text.lower()).translate(_APART)
    text = "".join(map(_bare, text)).replace("ß", "ss").replace("ç", "c")
    return _NO_LETTER.sub(BORDER, f"_{text}_")


def coarse(spelt: str) -> str:
    """Sounds in the classes of `COARSE`."""
    return _TWICE.sub(r"\1", spelt.translate(_CLASSES))


def _bare(letter: str) -> str:
    """A letter without its accent, but for those that say how it sounds."""
    if letter in "çß" or letter.isascii():
        return letter
    return "".join(c for c in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(c))
