"""Where in a draft a text stands, after the two have parted.

One row of Wagner and Fischer's table (1974) is kept: element j is the edit distance between what
was emitted and the first j characters of the draft. A character more is one vector operation.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

LONGEST_MATCH = 8
"""Characters: more of the same say nothing more about the place."""

Row: TypeAlias = np.ndarray[Any, np.dtype[np.int32]]


def first_row(draft: str) -> Row:
    """(len(draft) + 1,): nothing was emitted yet."""
    return np.arange(len(draft) + 1, dtype=np.int32)


def next_row(row: Row, draft: Row, character: str) -> Row:
    """The row after one more emitted character; `draft` as `code_points` gives it."""
    new = np.empty_like(row)
    new[0] = row[0] + 1
    np.minimum(row[:-1] + (draft != ord(character)), row[1:] + 1, out=new[1:])
    places = np.arange(len(row), dtype=np.int32)
    # Leaving out characters of the draft, any number of them at once.
    return np.minimum.accumulate(new - places) + places


def code_points(text: str) -> Row:
    """The characters of a text as numbers."""
    return np.array([ord(character) for character in text], dtype=np.int32)


def next_matches(matches: Row, draft: Row, character: str) -> Row:
    """How many characters before each place are the last ones emitted, after one more of those."""
    new = np.zeros_like(matches)
    new[1:] = np.where(draft == ord(character), matches[:-1] + 1, 0)
    return new


def best_place(row: Row, matches: Row) -> int:
    """How many characters of the draft the emitted text most probably stands for.

    A stretch that is the same just before the place counts for it: distance alone would take
    "big cat" for "cat sat" as readily as for "cat". Of several places the last one: a word that was
    replaced is commoner than one that was put in.
    """
    score = 2 * row - np.minimum(matches, LONGEST_MATCH)
    return len(row) - 1 - int(np.argmin(score[::-1]))


class Follower:
    """Follows an emitted text along a draft; capital letters do not matter."""

    _row: Row
    _matches: Row
    _emitted: str

    def __init__(self, draft: str) -> None:
        self.draft = draft
        # Character by character, since the lower case of a whole text may be longer.
        self._draft = code_points("".join(_lowered(character) for character in draft))
        self._restart()

    def rest(self, emitted: str) -> str:
        """What the draft says behind the emitted text, which usually continues the last one."""
        if not emitted.startswith(self._emitted):
            self._restart()
        for character in map(_lowered, emitted[len(self._emitted) :]):
            self._row = next_row(self._row, self._draft, character)
            self._matches = next_matches(self._matches, self._draft, character)
        self._emitted = emitted
        return self.draft[best_place(self._row, self._matches) :]

    def _restart(self) -> None:
        self._row = first_row(self.draft)
        self._matches = np.zeros_like(self._row)
        self._emitted = ""


def _lowered(character: str) -> str:
    lower = character.lower()
    return lower if len(lower) == 1 else character
