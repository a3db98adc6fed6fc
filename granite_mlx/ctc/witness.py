"""The character head as a witness: which words of a text have letters in what it heard.

The decoder can write what nobody said; the head, which hears frame by frame and knows no language,
hardly can. The two texts are aligned letter by letter so that what was put in comes in one piece
(Gotoh 1982: a gap costs more to open than to go on), and a word that stands in such a gap has no
witness. A word that the decoder spells otherwise than it sounds is not in a gap: its letters stand
beside others.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

SAME, OTHER, OPEN, FURTHER = 4, -2, 6, 1
"""Two equal letters, two others, the first letter of a gap and each further one."""

_NEVER = -(1 << 20)

Letters: TypeAlias = np.ndarray[Any, np.dtype[np.int32]]


@dataclass(frozen=True)
class Testimony:
    """What the head has heard of one word.

    Attributes:
        n_letters: of the word, without punctuation.
        n_beside: those that stand beside a letter that was heard.
        n_same: those of them that are the same.
    """

    word: str
    n_letters: int
    n_beside: int
    n_same: int

    @property
    def is_heard(self) -> bool:
        """Whether at least half of its letters have one beside them."""
        return 2 * self.n_beside >= self.n_letters


def witness(text: str, heard: str) -> list[Testimony]:
    """Each word of a text against what the head has heard; words are what lies between spaces."""
    words = text.split()
    spelt = [letters(word) for word in words]
    said = letters(heard)
    beside = letters_beside(text, heard)
    found, start = [], 0
    for word, own in zip(words, spelt, strict=True):
        places = beside[start : start + len(own)]
        same = sum(place >= 0 and said[place] == a for place, a in zip(places, own, strict=True))
        found.append(Testimony(word, len(own), sum(place >= 0 for place in places), same))
        start += len(own)
    return found


@lru_cache(maxsize=8)  # several rules look at one text in turn
def letters_beside(text: str, heard: str) -> Sequence[int]:
    """For each of the `letters` of a text the one of those heard beside it, or -1."""
    return tuple(alignment(_numbers(letters(text)), _numbers(letters(heard))))


def letters(text: str) -> str:
    """Letters and digits alone, in lower case and without accents."""
    plain = unicodedata.normalize("NFKD", text.lower())
    return "".join(character for character in plain if character.isalnum())


def alignment(text: Letters, heard: Letters) -> list[int]:
    """For each letter of a text the one heard beside it, or -1 where it was put in.

    Args:
        text: (n,) code points.
        heard: (m,) likewise; time and memory grow with n times m.
    """
    steps, gaps, origins = _choices(text, heard)
    beside = [-1] * len(text)
    i, j, in_gap = len(text), len(heard), False
    while i > 0:
        if in_gap or (step := steps[i, j]) == _PUT_IN:
            in_gap = bool(gaps[i, j])  # whether the letter before it is in the gap, too
            i -= 1
        elif step == _BESIDE:
            i, j = i - 1, j - 1
            beside[i] = j
        else:
            j = int(origins[i, j])
    return beside


_BESIDE, _PUT_IN, _LEFT_OUT = range(3)


def _choices(text: Letters, heard: Letters) -> tuple[Any, Any, Any]:
    """The best last step to each place (n + 1, m + 1).

    Also whether a gap of the text goes on before it, and where one of what was heard begins.
    """
    n, m = len(text), len(heard)
    steps = np.full((n + 1, m + 1), _LEFT_OUT, np.int8)
    gaps = np.zeros((n + 1, m + 1), bool)
    origins = np.zeros((n + 1, m + 1), np.int32)
    places = np.arange(m + 1, dtype=np.int32)
    best = np.where(places > 0, -OPEN - FURTHER * (places - 1), 0).astype(np.int32)
    put_in = np.full(m + 1, _NEVER, np.int32)
    for i in range(1, n + 1):
        opened, gone_on = best - OPEN, put_in - FURTHER
        gaps[i] = gone_on > opened
        put_in = np.maximum(opened, gone_on)
        own = put_in.copy()
        beside = best[:-1] + np.where(heard == text[i - 1], SAME, OTHER)
        is_beside = beside >= own[1:]
        own[1:] = np.maximum(own[1:], beside)
        # Letters that were heard and are not in the text: the best place to begin leaving out.
        begun = own + FURTHER * places
        highest = np.maximum.accumulate(begun)
        is_new = np.concatenate([[True], highest[1:] > highest[:-1]])
        origins[i, 1:] = np.maximum.accumulate(np.where(is_new, places, 0))[:-1]
        left_out = highest[:-1] - OPEN + FURTHER - FURTHER * places[1:]
        steps[i, 0] = _PUT_IN
        steps[i, 1:] = np.where(is_beside, _BESIDE, _PUT_IN)
        steps[i, 1:][left_out > own[1:]] = _LEFT_OUT
        best = own
        best[1:] = np.maximum(own[1:], left_out)
    return steps, gaps, origins


def _numbers(text: str) -> Letters:
    return np.array([ord(character) for character in text], dtype=np.int32)


def unheard_runs(testimonies: Sequence[Testimony]) -> list[range]:
    """Neighbouring words that the head has not heard; marks alone go with their neighbours."""
    runs, start = [], None
    for n, one in enumerate([*testimonies, None]):
        if one is not None and (not one.is_heard or (not one.n_letters and start is not None)):
            start = n if start is None else start
        elif start is not None:
            runs.append(range(start, n))
            start = None
    return runs
