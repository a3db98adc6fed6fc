"""Terms that nobody says, half of them hard to tell from terms that are said.

A near one is a real name of the demo's recipe, in either spelling, with one or two letters put in,
left out or exchanged. The others are made-up names of six letters or more: shorter ones are like
something in every sentence, and few lists have many. None sounds like a name or a word of the
recordings, as espeak-ng says them: with such a one in the list nobody could know which is meant.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence

import numpy as np

from demo.corpus import NamePools
from demo.held_out import Recording
from demo.names import made_up_pairs, phonemes

VOICES = {"en": "en-us", "fr": "fr-fr"}
SPOKEN_AT_ONCE = 2000
SHORTEST = 6
SPARE = 1.3
"""Drawn for each that is wanted: some sound like what is said."""


class Distractors:
    """Those of a language, in an order in which every second one is near; all from a seed."""

    def __init__(
        self, language: str, pools: NamePools, recordings: Sequence[Recording], n: int, seed: int
    ) -> None:
        rng = np.random.default_rng([seed, len(language), ord(language[0])])
        said = {name for pair in pools.real[language] for name in pair}
        words = {w for r in recordings for w in r.plain(language).split()}
        sounds = set(_sounds(sorted(said | words), language))
        written = {one.lower() for one in said | words}
        n_each = -(-n // 2)
        near = _near(sorted(said), int(SPARE * n_each) + 20, rng)
        others = _made_up(int(SPARE * n_each) + 20, rng, set(near))
        drawn = near + others
        apart = {
            term
            for term, sound in zip(drawn, _sounds(drawn, language), strict=True)
            if sound not in sounds and term.lower() not in written
        }
        near = [term for term in near if term in apart][:n_each]
        others = [term for term in others if term in apart][:n_each]
        self.terms = [term for both in zip(near, others, strict=True) for term in both][:n]

    def list_for(self, terms: Iterable[str], n: int, rng: np.random.Generator) -> list[str]:
        """Terms that are said among the first `n` that are not, in random order."""
        listed = [*terms, *self.terms[:n]]
        return [listed[place] for place in rng.permutation(len(listed))]


def _near(names: Sequence[str], n: int, rng: np.random.Generator) -> list[str]:
    drawn: dict[str, None] = {}
    while len(drawn) < n:
        term = names[int(rng.integers(len(names)))].lower()
        for _ in range(int(rng.integers(1, 3))):
            term = _edited(term, rng)
        drawn[term.capitalize()] = None
    return list(drawn)


def _edited(term: str, rng: np.random.Generator) -> str:
    at, letter = int(rng.integers(len(term))), string.ascii_lowercase[int(rng.integers(26))]
    how = int(rng.integers(3)) if len(term) > 2 else 0
    return (
        term[:at] + letter + term[at:],
        term[:at] + letter + term[at + 1 :],
        term[:at] + term[at + 1 :],
    )[how]


def _made_up(n: int, rng: np.random.Generator, taken: set[str]) -> list[str]:
    drawn: dict[str, None] = {}
    while len(drawn) < n:
        terms = [term for pair in made_up_pairs(n, rng) for term in pair]
        drawn |= dict.fromkeys(t for t in terms if len(t) >= SHORTEST and t not in taken)
    return list(drawn)[:n]


def _sounds(terms: Sequence[str], language: str) -> list[str]:
    """How espeak-ng says each."""
    parts = (terms[n : n + SPOKEN_AT_ONCE] for n in range(0, len(terms), SPOKEN_AT_ONCE))
    return [sound for part in parts for sound in phonemes(part, VOICES[language])]
