"""Texts of two pieces that overlap -> where the first one ends and the second one begins.

Where it is known when each word is said, the seam's time parts them. Else the witness is what the
character head heard of the shared stretch, before and after the seam. Each
text is laid along it, letter by letter, and parted where the seam comes: so a word of the stretch
belongs to one text and not to the other, even where the two heard it differently.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

Span: TypeAlias = tuple[float, float]
"""When a word begins and ends, in seconds."""

NOT_HEARD, NOT_WRITTEN = 0.8, 0.2
"""What a letter costs that is in the text alone, and one that is in the witness alone."""

SOME = 0.25
"""Of the highest score: letters that have nothing to do with the witness come to less."""

LONGEST_STRETCH = 3
"""A text may write so many times as many letters as the witness: a word that was not heard."""


@dataclass(frozen=True)
class Seam:
    """The stretch that two pieces share.

    Attributes:
        before, after: what the character head hears of it on either side of the seam.
        at, until: samples from the first one, of the seam and of the first piece's end.
    """

    before: str
    after: str
    at: int
    until: int


def join_by_times(left: Sequence[Span], right: Sequence[Span], at_s: float) -> tuple[int, int]:
    """How many timed words of `left`, and from which one of `right` on, make one text.

    Args:
        left, right: when the words of each text begin and end, in order, in seconds.
        at_s: the time of the seam.
    """
    # A text that ends early, or begins late, leaves the stretch to the other one.
    left_end_s = left[-1][1] if left else -math.inf
    right_start_s = right[0][0] if right else math.inf
    n_left = sum(_middle(one) < at_s or one[1] <= right_start_s for one in left)
    n_skipped = sum(_middle(one) < at_s and one[0] < left_end_s for one in right)
    # The word at the seam may be in both by their own times, or in neither.
    if n_left > 0 and n_skipped < len(right) and _is_one(left[n_left - 1], right[n_skipped]):
        return n_left, n_skipped + 1
    if n_left < len(left) and n_skipped > 0 and _is_one(left[n_left], right[n_skipped - 1]):
        return n_left + 1, n_skipped
    return n_left, n_skipped


def _middle(span: Span) -> float:
    return (span[0] + span[1]) / 2


def _is_one(one: Span, other: Span) -> bool:
    """Whether two words are said at one time: more than half of the shorter one is in both."""
    shared_s = min(one[1], other[1]) - max(one[0], other[0])
    return shared_s > min(one[1] - one[0], other[1] - other[0]) / 2


def join(left: str, right: str, seam: Seam) -> tuple[int, int]:
    """How many words of `left`, and from which word of `right` on, make one text.

    Words are what spaces part. A text that does not come to the seam is kept as it is.
    """
    left_words, right_words = left.split(), right.split()
    before, after = folded(seam.before), folded(seam.after)
    n_over = n_words_along(
        [folded(word)[::-1] for word in reversed(left_words)], after[::-1], before[::-1]
    )
    n_skipped = n_words_along([folded(word) for word in right_words], before, after)
    lefts, rights = [folded(word) for word in left_words], [folded(word) for word in right_words]
    n_left = len(lefts) - n_over
    # Words go only where they say what the other text says there: nothing is lost where one of
    # them ends early, or heard something else.
    kept, dropped = "".join(lefts[:n_left]), "".join(lefts[n_left:])
    skipped, following = "".join(rights[:n_skipped]), "".join(rights[n_skipped:])
    if not (_says(kept[::-1], before[::-1]) and _begins(skipped[::-1], before[::-1])):
        n_skipped = 0
    if not (_says(following, after) and _begins(dropped, after)):
        n_left = len(lefts)
    return _agreed(lefts, rights, n_left, n_skipped)


def folded(text: str) -> str:
    """Letters and digits alone, in lower case and without accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in plain if character.isalnum())


def n_words_along(words: list[str], near: str, far: str) -> int:
    """How many of the first words are what the witness calls `near`; behind it comes `far`."""
    letters = "".join(words)[: LONGEST_STRETCH * (len(near) + len(far) + 1)]
    ahead = _scores(letters, near)  # of the first letters as what is near
    behind = _scores(letters[::-1], far[::-1], is_free=True)[::-1]  # of the others as what is far
    borders = [0, *np.cumsum([len(word) for word in words]).tolist()]
    inside = [n for n, border in enumerate(borders) if border <= len(letters)]
    return max(inside, key=lambda n: float(ahead[borders[n]] + behind[borders[n]]))


def _scores(letters: str, witness: str, is_free: bool = False) -> np.ndarray:
    """(len(letters) + 1,): how well the first so many letters say the witness.

    Needleman and Wunsch's alignment (1970). A letter that nobody heard costs more than one that was
    heard and is not there, so a text that ends early is not laid over what comes after it. With
    `is_free`, letters before those that say the witness cost nothing.
    """
    places = np.arange(len(letters) + 1)
    spelt = np.array([ord(letter) for letter in letters], dtype=np.int64)
    scores = np.zeros(len(letters) + 1) if is_free else -NOT_HEARD * places
    for letter in witness:
        new = scores - NOT_WRITTEN
        new[1:] = np.where(spelt == ord(letter), np.maximum(new[1:], scores[:-1] + 1), new[1:])
        # Letters that were not heard, any number of them at once.
        scores = np.maximum.accumulate(new + NOT_HEARD * places) - NOT_HEARD * places
    return scores


def _says(letters: str, witness: str) -> bool:
    """Whether the first letters say at least some of the witness."""
    letters = letters[: LONGEST_STRETCH * len(witness)]
    return bool(witness) and float(_scores(letters, witness).max()) >= SOME * len(witness)


def _begins(letters: str, witness: str) -> bool:
    """Whether the letters say at least some of the witness, or of its beginning if they are few."""
    return _says(letters, witness[: len(letters) + 1])


def _agreed(left: list[str], right: list[str], n_left: int, n_skipped: int) -> tuple[int, int]:
    """The same where the two say one thing; else the word at the seam is in one of them, once."""
    kept, dropped = left[:n_left][-1:], left[n_left:]
    skipped, following = right[:n_skipped], right[n_skipped:]
    if kept and kept == following[:1] and dropped[:1] != kept and dropped[:1] == following[1:2]:
        return n_left, n_skipped + 1
    is_lost = bool(dropped) and dropped[:1] == skipped[-1:] != kept
    if is_lost and dropped[:1] != following[:1] == dropped[1:2]:
        return n_left + 1, n_skipped
    return n_left, n_skipped
