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

from granite_mlx.biasing.likeness import fit
from granite_mlx.biasing.matching import Patterns
from granite_mlx.biasing.readings import heard_sounds
from granite_mlx.biasing.sounds import COARSE, coarse, sounds

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

N_COMPARED = 600
"""Spellings that are compared sound by sound."""

HIGHEST_COST = 0.25
"""Of each sound of a term, borders included: above it a term is not like what is heard."""

BEGINNING_COST = 0.3
"""What a term costs however well it fits: of two that fit as well, the longer one is likelier."""

DECIMALS = 3
"""Costs are compared so exactly, so that the last bits of a sum decide nothing."""


@dataclass(frozen=True, eq=False)
class Index:
    """Terms ready to be looked for. A term is there once for its spelling and each alias.

    Attributes:
        terms: all of them, in their order.
        spellings: sounds of each spelling that has some; (n,).
        owners: whose spelling each is, a place in `terms`; (n,).
        patterns: the spellings in coarse classes; (n,).
    """

    terms: tuple[str, ...]
    spellings: tuple[str, ...]
    owners: Array
    patterns: Patterns

    @property
    def n_unsearchable(self) -> int:
        """Terms that have no letter that the head knows, nor an alias."""
        return len(self.terms) - len(np.unique(self.owners))

    def choose(self, logits: Array, n_most: int) -> tuple[str, ...]:
        """At most `n_most` terms that may be said, in their order, from the head's logits (T, n)."""
        return tuple(
            self.terms[place] for place in sorted(self.ranked(heard_sounds(logits))[:n_most])
        )

    def ranked(self, heard: str) -> list[int]:
        """Places of the terms that are like some part of what was heard, the likest first."""
        shortlist = self._shortlist(heard)
        if not len(shortlist):
            return []
        spellings = [self.spellings[n] for n in shortlist]
        lengths = np.array([len(one) for one in spellings])
        costs = fit(spellings, heard).costs
        is_like = costs <= HIGHEST_COST * lengths
        order = np.lexsort((shortlist, np.round((costs + BEGINNING_COST) / lengths, DECIMALS)))
        owners = self.owners[shortlist[order[is_like[order]]]]
        return list(dict.fromkeys(owners.tolist()))

    def _shortlist(self, heard: str) -> Array:
        """Spellings worth a closer look."""
        distances = self.patterns.distances([COARSE.index(one) for one in coarse(heard)])
        keys = (distances + 0.5) / np.maximum(self.patterns.lengths, 1)
        return np.argsort(keys, kind="stable")[:N_COMPARED]


@lru_cache(maxsize=2)
def index_of(terms: tuple[str, ...], sounds_like: tuple[tuple[str, str], ...]) -> Index:
    """The index of a list of terms; one that was made lately is not made again."""
    places = {term: place for place, term in enumerate(terms)}
    said: Sequence[tuple[int, str]] = [
        *enumerate(map(sounds, terms)),
        *((places[term], sounds(alias)) for term, alias in sounds_like),
    ]
    said = list(dict.fromkeys(one for one in said if one[1]))
    spellings = tuple(spelling for _, spelling in said)
    owners = np.array([owner for owner, _ in said], np.int64)
    return Index(terms, spellings, owners, Patterns.of([*map(coarse, spellings)], COARSE))
