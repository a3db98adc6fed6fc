"""Where, and how well, many short patterns are found in one text: all of them at once.

Myers (1999): the edit distances of a pattern to whatever ends at one place of a text are kept as
two words of bits, those that go up and those that go down from one letter of the pattern to the
next, and a letter of the text moves all of them with a dozen operations. Here each operation is one
of numpy over a block of patterns. Knows no sounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

WORD_BITS = 64
"""Of a longer pattern only so many letters are looked for, the first ones."""

BLOCK = 8192
"""Patterns at a time: what is kept of them fits a processor's cache."""

_ONE = np.uint64(1)
_LAST = np.uint64(WORD_BITS - 1)


@dataclass(frozen=True)
class Patterns:
    """Patterns as bits, made once.

    Attributes:
        places: for each letter of the alphabet, where it stands: (n_letters, n), uint64. The last
            letter of a pattern has the highest bit; those below its first fit every letter, as if
            they were the text before.
        lengths: (n,) letters of each.
    """

    places: Array
    lengths: Array

    @classmethod
    def of(cls, patterns: Sequence[str], alphabet: str) -> Patterns:
        """Bits of patterns, each of at least one letter of `alphabet`."""
        heads = [pattern[:WORD_BITS] for pattern in patterns]
        lengths = np.array([len(head) for head in heads], np.int64)
        letters = np.frombuffer("".join(heads).encode("latin-1"), np.uint8)
        rows = np.repeat(np.arange(len(heads)), lengths)
        ends = np.cumsum(lengths)
        columns = np.arange(len(letters)) - np.repeat(ends, lengths) + WORD_BITS
        bits = _ONE << columns.astype(np.uint64)
        before = _bits_before(lengths)
        places = np.empty((len(alphabet), len(heads)), np.uint64)
        for n, letter in enumerate(alphabet.encode("latin-1")):
            own = letters == letter
            places[n] = before
            np.bitwise_or.at(places[n], rows[own], bits[own])
        return cls(places, lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def distances(self, text: Sequence[int]) -> Array:
        """(n,) int16: the fewest edits that make each pattern of some part of a text.

        `text` holds the places of its letters in the alphabet.
        """
        found = [self._block(text, slice(n, n + BLOCK)) for n in range(0, len(self), BLOCK)]
        return np.concatenate(found) if found else np.zeros(0, np.int16)

    def _block(self, text: Sequence[int], block: slice) -> Array:
        places = np.ascontiguousarray(self.places[:, block])
        lengths = self.lengths[block]
        up = ~_bits_before(lengths)
        down = np.zeros_like(up)
        score = lengths.astype(np.int16)
        best = score.copy()
        across, level, step = np.empty_like(up), np.empty_like(up), np.empty_like(up)
        for letter in text:
            fits = places[letter]
            # level: no difference along the text; across: the differences upwards.
            np.bitwise_and(fits, up, out=level)
            np.add(level, up, out=level)
            np.bitwise_xor(level, up, out=level)
            np.bitwise_or(level, fits, out=level)
            np.bitwise_or(level, up, out=across)
            np.invert(across, out=across)
            np.bitwise_or(across, down, out=across)
            np.bitwise_or(fits, down, out=step)  # before `down` is made anew
            np.bitwise_and(up, level, out=level)
            score += (across >> _LAST).astype(np.int16)
            score -= (level >> _LAST).astype(np.int16)
            np.minimum(best, score, out=best)
            np.left_shift(across, _ONE, out=across)
            np.left_shift(level, _ONE, out=level)
            np.bitwise_and(across, step, out=down)
            np.bitwise_or(step, across, out=step)
            np.invert(step, out=step)
            np.bitwise_or(level, step, out=up)
        return best


def _bits_before(lengths: Array) -> Array:
    """The bits below each pattern's first letter."""
    every = ~np.uint64(0)
    shifted = every >> (lengths % WORD_BITS).astype(np.uint64)
    return np.where(lengths == WORD_BITS, np.uint64(0), shifted)
