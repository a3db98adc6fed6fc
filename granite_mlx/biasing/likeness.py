"""How like two rows of sounds are: edit distance in which sounds that are near cost little.

The table is a judgement, not learnt: what languages and spellers exchange (p and b, s and z, c and
k, e and i) costs a third of what p and m cost, and a vowel is heard or written sooner than a consonant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from granite_mlx.biasing.sounds import BORDER, SOUNDS, VOWELS

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_NEAR = {
    "ei": 0.2, "ou": 0.2, "ae": 0.35, "ao": 0.35, "pb": 0.3, "td": 0.3, "kg": 0.3, "fv": 0.3,
    "sz": 0.3, "sS": 0.4, "zS": 0.5, "SC": 0.2, "SJ": 0.3, "CJ": 0.3, "Ck": 0.4, "sC": 0.5,
    "zJ": 0.4, "mn": 0.4, "lr": 0.6, "vw": 0.3, "fw": 0.6, "vb": 0.5, "uw": 0.3, "ow": 0.4,
    "iJ": 0.5, "hJ": 0.5, "hr": 0.6,
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


EXCHANGED = _exchanged()
"""(n, n) costs of one sound in place of another, by their places in `SOUNDS`."""

ALONE = np.array([_ONE_SIDED.get(sound, _ALONE) for sound in SOUNDS], np.float32)
"""(n,) costs of a sound that only one side has."""


@dataclass(frozen=True)
class Fit:
    """How terms fit into what was heard, each where it fits best.

    Attributes:
        costs: (n,) float32.
        ends: (n,) the place behind the last sound, in what was heard.
    """

    costs: Array
    ends: Array


def numbers(spelt: str) -> Array:
    """Sounds as their places in `SOUNDS`."""
    return _PLACES[np.frombuffer(spelt.encode("latin-1"), np.uint8)]


_PLACES = np.zeros(256, np.uint8)
_PLACES[np.frombuffer(SOUNDS.encode("latin-1"), np.uint8)] = np.arange(len(SOUNDS))


def fit(terms: Sequence[str], heard: str) -> Fit:
    """The cheapest way of each term into some part of what was heard."""
    order = sorted(range(len(terms)), key=lambda n: -len(terms[n]))
    lengths = np.array([len(terms[n]) for n in order], np.int64)
    costs, ends = np.zeros(len(order), np.float32), np.zeros(len(order), np.int64)
    letters = np.zeros((len(order), max(lengths, default=0)), np.uint8)
    for place, n in enumerate(order):
        letters[place, : lengths[place]] = numbers(terms[n])
    said = numbers(heard)
    exchanged = EXCHANGED[:, said]  # (n_sounds, T)
    inserted = np.concatenate([[0], np.cumsum(ALONE[said])]).astype(np.float32)
    row = np.zeros((len(order), len(said) + 1), np.float32)  # a term may begin anywhere
    for column in range(letters.shape[1]):
        n_left = int(np.searchsorted(-lengths, -column, side="left"))  # longer than `column`
        own = letters[:n_left, column]
        row = row[:n_left]
        beside = row[:, :-1] + exchanged[own]
        row = row + ALONE[own][:, None]
        np.minimum(row[:, 1:], beside, out=row[:, 1:])
        # What was heard and is not in the term: from the best place before.
        row -= inserted
        np.minimum.accumulate(row, axis=1, out=row)
        row += inserted
        done = lengths[:n_left] == column + 1
        if done.any():
            ends[:n_left][done] = row[done].argmin(axis=1)
            costs[:n_left][done] = row[done].min(axis=1)
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return Fit(costs[back], ends[back])
