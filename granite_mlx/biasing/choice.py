"""Which terms of a long list may be said in a segment: those that are like what the head hears.

All terms are looked for at once in coarse classes of sounds (`matching`); the best few hundred are
then compared sound by sound (`likeness`), and the best of these are chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from granite_mlx.biasing.common_words import SMALL, said_otherwise
from granite_mlx.biasing.likeness import BY_LETTER, BY_SOUND, best_fit
from granite_mlx.biasing.matching import Patterns
from granite_mlx.biasing.readings import readings_of
from granite_mlx.biasing.sounds import COARSE, coarse, letters, sounds

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

N_COMPARED = 600
"""Spellings that are compared sound by sound."""

HIGHEST_COST = 0.22
"""Of each sound of a term, borders included, and its letters: above it a term is not heard."""

RIVAL_MARGIN = 0.12
"""A term that costs so much more than another one in the same word is not said there."""

BEGINNING_COST = 0.5
"""What a term costs however well it fits: of two that fit as well, the longer one is likelier."""

LETTER_COST = 0.3
"""What other letters than the head's count, beside sounds: mostly it spells what it has learnt."""

SMALL_COST = 0.1
"""What a term costs more that ends in a word such as "in": it is like something in any sentence."""

DECIMALS = 3
"""Costs are compared so exactly, so that the last bits of a sum decide nothing."""


@dataclass(frozen=True, eq=False)
class Index:
    """Terms ready to be looked for. A term is there once for its spelling and each alias.

    Attributes:
        terms: all of them, in their order.
        spellings: each term and alias that has sounds; (n,).
        owners: whose spelling each is, a place in `terms`; (n,).
        sounds: those of each spelling; (n,).
        patterns: the sounds in coarse classes; (n,).
    """

    terms: tuple[str, ...]
    spellings: tuple[str, ...]
    owners: Array
    sounds: tuple[str, ...]
    patterns: Patterns

    @property
    def unsearchable(self) -> tuple[str, ...]:
        """Terms that have no letter that the head knows, nor an alias."""
        known = set(self.owners.tolist())
        return tuple(term for place, term in enumerate(self.terms) if place not in known)

    def choose(self, logits: Array, n_most: int) -> tuple[str, ...]:
        """At most `n_most` terms that may be said, in their order; (T, n) logits of the head."""
        return self.in_order([*self.likely(logits)][:n_most])

    def likely(self, logits: Array) -> dict[int, float]:
        """Places of the terms that may be said, as `ranked`; (T, n) logits of the head."""
        return self.ranked(readings_of(logits))

    def in_order(self, places: Sequence[int]) -> tuple[str, ...]:
        """Terms as they stand in the list."""
        return tuple(self.terms[place] for place in sorted(places))

    def ranked(self, readings: Sequence[str]) -> dict[int, float]:
        """Places of the terms that are like some part of a reading, the likest first.

        With each, how it stands beside its rivals in the same word: from 1, the best of them, to
        0, which is `RIVAL_MARGIN` worse.
        """
        readings = list(dict.fromkeys([*readings, *map(said_otherwise, readings)]))
        said = [one for one in map(sounds, readings) if one]
        shortlist = self._shortlist(said)
        if not len(shortlist):
            return {}
        spoken = [self.sounds[n] for n in shortlist]
        spelt = [letters(self.spellings[n]) for n in shortlist]
        heard = best_fit(spoken, said, BY_SOUND)
        written = best_fit(spelt, [letters(one) for one in readings], BY_LETTER)
        lengths, widths = (np.array([len(one) for one in each]) for each in (spoken, spelt))
        unlike = heard.costs / lengths + LETTER_COST * written.costs / widths
        unlike += SMALL_COST * heard.is_in(SMALL)
        keys = np.round(unlike + BEGINNING_COST / lengths, DECIMALS)
        order = np.lexsort((shortlist, keys))
        order = order[np.round(unlike[order], DECIMALS) <= HIGHEST_COST]
        # Where one term fits a word much better than another, that other one is not said there.
        best = np.full(heard.words.max() + 1, np.inf)
        np.minimum.at(best, heard.words[order], keys[order])
        worse = (keys[order] - best[heard.words[order]]) / RIVAL_MARGIN
        order, worse = order[worse <= 1], worse[worse <= 1]
        found: dict[int, float] = {}
        for place, one in zip(self.owners[shortlist[order]].tolist(), worse.tolist(), strict=True):
            found[place] = max(found.get(place, 0.0), 1 - one)
        return found

    def _shortlist(self, readings: Sequence[str]) -> Array:
        """Spellings worth a closer look."""
        found = [
            self.patterns.distances([COARSE.index(one) for one in coarse(reading)])
            for reading in readings
        ]
        if not found or not len(self.patterns):
            return np.zeros(0, np.int64)
        keys = (np.minimum.reduce(found) + 0.5) / self.patterns.lengths
        return np.argsort(keys, kind="stable")[:N_COMPARED]


@lru_cache(maxsize=4)
def index_of(terms: tuple[str, ...], sounds_like: tuple[tuple[str, str], ...]) -> Index:
    """The index of a list of terms; those made last are kept, some 40 MB for 100,000 terms."""
    places = {term: place for place, term in enumerate(terms)}
    spellings = [*terms, *(alias for _, alias in sounds_like)]
    owners = [*range(len(terms)), *(places[term] for term, _ in sounds_like)]
    spoken = list(map(sounds, spellings))
    kept = [n for n, one in enumerate(spoken) if one]
    said = tuple(spoken[n] for n in kept)
    return Index(
        terms,
        tuple(spellings[n] for n in kept),
        np.array([owners[n] for n in kept], np.int64),
        said,
        Patterns.of([*map(coarse, said)], COARSE),
    )
