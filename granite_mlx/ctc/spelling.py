"""How a text is said in the classes of the character head: what is folded, and what has no letters.

The head knows the letters of Latin-1. The rule, word by word (a word is what lies between spaces):

- Case does not matter: a letter stands for both, whichever the head was trained to write.
- Punctuation, quotes and dashes are not heard and are left out, also within a word ("l'été").
- Letters beyond Latin-1 lose their accents ("č" is c) or come apart ("œ" is o and e, "ﬁ" f and i).
- A word with a digit or a sign that is read aloud ("20", "3rd", "&", "5%"), or with a letter that
  no rule makes Latin-1 ("Ω"), is by ear: which letters the head hears there is not known ("twenty",
  "vingt"), only that it hears some.
- What has nothing to hear ("—", or the "?" that French sets apart) belongs to the word before it.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from granite_mlx.ctc.greedy import BLANK, N_CODE_POINTS

_TAKEN_APART = {"œ": "oe", "ĳ": "ij", "ŉ": "n", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i",
                "ŋ": "ng", "ə": "e"}  # fmt: skip
"""Letters that Unicode does not take apart, in lower case."""

_READ_ALOUD = frozenset("&%‰@#§†*/\\")
"""Punctuation, by Unicode's reckoning, that may be said."""

LEAST_SPELLED = 0.5
"""Of the words of a text: with fewer in letters, what is by ear would be by guess."""


@dataclass(frozen=True)
class Spelled:
    """A word as it is written, and its letters in lower case; "" for a word by ear."""

    text: str
    letters: str


def spell(text: str, n_classes: int = N_CODE_POINTS) -> tuple[Spelled, ...] | None:
    """The words of a text in a head's letters; None where it cannot spell half of them.

    The texts of the words, joined by spaces, are the text.
    """
    words: list[Spelled] = []
    silent = ""  # at the beginning, before the first word
    for written in text.split():
        letters = fold(written, n_classes)
        if letters is not None:
            words.append(Spelled(f"{silent}{written}", letters))
            silent = ""
        elif words:
            words[-1] = Spelled(f"{words[-1].text} {written}", words[-1].letters)
        else:
            silent += f"{written} "
    n_spelled = sum(bool(word.letters) for word in words)
    return tuple(words) if words and n_spelled >= LEAST_SPELLED * len(words) else None


def fold(word: str, n_classes: int = N_CODE_POINTS) -> str | None:
    """The letters of a word; "" where it is by ear, None where there is nothing to hear."""
    folded: list[str] = []
    heard = False
    for character in unicodedata.normalize("NFC", word.lower()):
        if not _is_heard(character):
            continue
        heard = True
        letters = _letters(character)
        if not letters or max(map(ord, letters)) >= min(n_classes, N_CODE_POINTS):
            return ""
        folded.append(letters)
    return "".join(folded) if heard else None


def classes_of(letter: str) -> tuple[int, ...]:
    """The classes that write a letter: those of its two cases, as far as they are in Latin-1."""
    both = {letter, letter.upper()}
    return tuple(sorted(ord(c) for c in both if len(c) == 1 and ord(c) < N_CODE_POINTS))


def gap_classes(n_classes: int) -> tuple[int, ...]:
    """The classes that are no letter: the blank, spaces and punctuation."""
    signs = range(1, min(n_classes, N_CODE_POINTS))
    return (BLANK, *(i for i in signs if not chr(i).isalnum()))


def _is_heard(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind[0] in "LN" or kind in ("Sc", "Sm", "So") or character in _READ_ALOUD


def _letters(character: str) -> str:
    """A character in letters of Latin-1, lower case; "" where that cannot be."""
    if character in _TAKEN_APART:
        return _TAKEN_APART[character]
    if ord(character) < N_CODE_POINTS:
        return character if character.isalpha() else ""
    pieces = unicodedata.normalize("NFKD", character).lower()
    if pieces == character:
        return ""
    letters = [_letters(piece) for piece in pieces if not unicodedata.combining(piece)]
    return "".join(letters) if all(letters) else ""
