"""Word and character error rates: how many edits make the text that was wanted of the one got."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
"""Kana and Chinese characters, between which no spaces are written."""

_WORD = re.compile(
    rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[^\W_])+(?:['’](?:(?![{_UNSPACED}])[^\W_])+)*"
)


@dataclass(frozen=True)
class ErrorRate:
    """Edits that were needed, and the words or characters that were wanted."""

    n_errors: int = 0
    n_wanted: int = 0

    def __add__(self, other: ErrorRate) -> ErrorRate:
        return ErrorRate(self.n_errors + other.n_errors, self.n_wanted + other.n_wanted)

    @property
    def percent(self) -> float:
        """Edits for each hundred that were wanted; it can exceed 100. NaN where none were."""
        return 100 * self.n_errors / self.n_wanted if self.n_wanted else float("nan")


def words(text: str) -> list[str]:
    """The words of a text, without case and punctuation: "C'est l'été !" -> ["c'est", "l'été"].

    Each character of Japanese and Chinese counts as a word.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [word.replace("’", "'") for word in _WORD.findall(folded)]


def word_errors(wanted: str, got: str) -> ErrorRate:
    """The word errors of one text."""
    return _errors(words(wanted), words(got))


def character_errors(wanted: str, got: str) -> ErrorRate:
    """The character errors of one text, without case, punctuation and spaces."""
    return _errors("".join(words(wanted)), "".join(words(got)))


def _errors(wanted: Sequence[str], got: Sequence[str]) -> ErrorRate:
    return ErrorRate(edit_distance(wanted, got), len(wanted))


def edit_distance(wanted: Sequence[Hashable], got: Sequence[Hashable]) -> int:
    """The fewest substitutions, insertions and deletions that lead from one to the other.

    Levenshtein's distance, a row of its table at a time. What is alike at both ends costs nothing.
    """
    if wanted == got:
        return 0
    n_before = common_start(wanted, got)
    n_behind = common_start(wanted[n_before:][::-1], got[n_before:][::-1])
    wanted = wanted[n_before : len(wanted) - n_behind]
    got = got[n_before : len(got) - n_behind]
    numbers = numbered([*wanted, *got])
    *_, last = distance_rows(numbers[: len(wanted)], numbers[len(wanted) :])
    return int(last[-1])


def distance_rows(wanted: np.ndarray, got: np.ndarray) -> Iterator[np.ndarray]:
    """Numbers of n and m items -> n + 1 rows of the table of distances, of m + 1 each.

    Place j of row i is the distance of the first i items that are wanted and the first j got.
    """
    positions = np.arange(len(got) + 1)
    distances = positions  # from nothing
    yield distances
    for n_wanted, item in enumerate(wanted, start=1):
        substituted = distances[:-1] + (got != item)
        row = np.concatenate([[n_wanted], np.minimum(substituted, distances[1:] + 1)])
        # An insertion costs one more than the place to the left, and so along the whole row.
        distances = np.minimum.accumulate(row - positions) + positions
        yield distances


def common_start(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """How many items are alike from the beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def numbered(items: Iterable[Hashable]) -> np.ndarray:
    """The same number for equal items."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(item, len(numbers)) for item in items], dtype=np.int64)
