"""How like two rows of sounds are: edit distance in which sounds that are near cost little.

The table is a judgement, not learnt: what languages and spellers exchange (p and b, s and z, ch and
k, e and i) costs less than half of what p and m cost, and a vowel is lost sooner than a consonant.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from granite_mlx.biasing.sounds import BORDER, LETTERS, SOUNDS, VOWELS

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_NEAR = {
    "ei": 0.2, "ou": 0.2, "ae": 0.35, "ao": 0.35, "pb": 0.3, "td": 0.3, "kg": 0.3, "fv": 0.3,
    "sz": 0.3, "sS": 0.4, "zS": 0.5, "SC": 0.2, "SJ": 0.3, "CJ": 0.3, "Ck": 0.4, "sC": 0.5,
    "zJ": 0.4, "mn": 0.4, "lr": 0.6, "vw": 0.3, "fw": 0.6, "vb": 0.5, "uw": 0.3, "ow": 0.4,
    "iJ": 0.5, "hJ": 0.5, "hr": 0.6, "gJ": 0.5,
}  # fmt: skip
_VOWEL, _CONSONANT = 0.5, 1.0
_ONE_SIDED = {BORDER: 0.5, "h": 0.2, "w": 0.6, **dict.fromkeys(VOWELS, 0.45)}
"""Costs of a sound that only one side has; others cost `_ALONE`."""

_ALONE = 0.9


def _exchanged() -> Array:
    table = np.full((len(SOUNDS), len(SOUNDS)), _CONSONANT, np.float32)
    vowels = [SOUNDS.index(vowel) for vowel in VOWELS]
    table[np.ix_(vowels, vowels)] = _VOWEL
    for pair, cost in _NEAR.items():
        a, b = map(SOUNDS.index, pair)
        table[a, b] = table[b, a] = cost
    np.fill_diagonal(table, 0.0)
    return table


@dataclass(frozen=True, eq=False)
class Costs:
    """What it costs to make one row of signs of another.

    Attributes:
        signs: the alphabet, (n,); the border of words first.
        exchanged: (n, n) float32, of one sign in place of another.
        alone: (n,) float32, of a sign that only one side has.
    """

    signs: str
    exchanged: Array
    alone: Array

    def numbers(self, text: str) -> Array:
        """Signs as their places in the alphabet."""
        places = np.zeros(256, np.uint8)
        places[np.frombuffer(self.signs.encode("latin-1"), np.uint8)] = np.arange(len(self.signs))
        return places[np.frombuffer(text.encode("latin-1"), np.uint8)]


BY_SOUND = Costs(
    SOUNDS,
    _exchanged(),
    np.array([_ONE_SIDED.get(sound, _ALONE) for sound in SOUNDS], np.float32),
)
BY_LETTER = Costs(
    LETTERS,
    1 - np.eye(len(LETTERS), dtype=np.float32),
    np.ones(len(LETTERS), np.float32),
)
"""Each letter that is not the same costs 1."""


@dataclass(frozen=True, eq=False)
class Fit:
    """Where each term fits best into what was heard.

    Attributes:
        costs: (n,) float32.
        words: (n,) the number of the word in which that place ends.
        last_words: (n,) that word, without borders.
    """

    costs: Array
    words: Array
    last_words: Sequence[str] = ()

    def is_in(self, words: Container[str]) -> Array:
        """(n,) bool: whether a term's place ends in one of these words."""
        return np.array([word in words for word in self.last_words], bool)


def best_fit(terms: Sequence[str], readings: Sequence[str], costs_of: Costs) -> Fit:
    """The fit of each term into that reading, of at least one, where it is cheapest."""
    fits = [fit(terms, reading, costs_of) for reading in readings]
    costs = np.stack([one.costs for one in fits])
    best, columns = costs.argmin(axis=0), np.arange(len(terms))
    words = np.stack([one.words for one in fits])[best, columns]
    parts = [reading.strip(BORDER).split(BORDER) for reading in readings]
    last_words = [
        parts[n][min(max(word - 1, 0), len(parts[n]) - 1)]
        for n, word in zip(best, words, strict=True)
    ]
    return Fit(costs[best, columns], words, last_words)


def fit(terms: Sequence[str], heard: str, costs_of: Costs) -> Fit:
    """The cheapest way of each term into some part of what was heard."""
    order = sorted(range(len(terms)), key=lambda n: -len(terms[n]))
    lengths = np.array([len(terms[n]) for n in order], np.int64)
    costs, ends = np.zeros(len(order), np.float32), np.zeros(len(order), np.int64)
    letters = np.zeros((len(order), max(lengths, default=0)), np.uint8)
    for place, n in enumerate(order):
        letters[place, : lengths[place]] = costs_of.numbers(terms[n])
    said = costs_of.numbers(heard)
    exchanged = costs_of.exchanged[:, said]  # (n_sounds, T)
    inserted = np.concatenate([[0], np.cumsum(costs_of.alone[said])]).astype(np.float32)
    row = np.zeros((len(order), len(said) + 1), np.float32)  # a term may begin anywhere
    for column in range(letters.shape[1]):
        n_left = int(np.searchsorted(-lengths, -column, side="left"))  # longer than `column`
        own = letters[:n_left, column]
        row = row[:n_left]
        beside = row[:, :-1] + exchanged[own]
        row = row + costs_of.alone[own][:, None]
        np.minimum(row[:, 1:], beside, out=row[:, 1:])
        # What was heard and is not in the term: from the best place before.
        row -= inserted
        np.minimum.accumulate(row, axis=1, out=row)
        row += inserted
        done = lengths[:n_left] == column + 1
        if done.any():
            ends[:n_left][done] = row[done].argmin(axis=1)
            costs[:n_left][done] = row[done].min(axis=1)
    # Signs before each place that are borders; the border behind a word is part of it.
    n_borders = np.concatenate([[0], np.cumsum(said == costs_of.signs.index(BORDER))])
    words = n_borders[np.maximum(ends - 1, 0)]
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return Fit(costs[back], words[back])
