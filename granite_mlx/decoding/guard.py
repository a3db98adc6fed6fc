"""What of an answer stands, once the character head has been heard as a witness.

The rule, over the words of a transcript (docs/guard.md):

1. Two or more neighbouring words of which it has heard nothing go, and so does a single one that
   comes from the list of keywords: a list is what models recite when they hear nothing.
2. Another single one stays and is named in a warning: the head misses a short word at times.
3. A text of which it has heard hardly a letter as it is written stays and is named, too.

What the head has no letters for, as Japanese, is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from granite_mlx.ctc.greedy import N_CODE_POINTS
from granite_mlx.ctc.witness import Testimony, letters, unheard_runs, witness

LEAST_RUN = 2
"""Neighbouring words. No recording of benchmarks/guard.py has two that were said and not heard."""

LEAST_SHARE = 0.3
LEAST_LETTERS = 8
"""A text is unlike what was heard where a smaller share of so many letters is the same."""


@dataclass(frozen=True)
class Concern:
    """What a reader should know of a text; `code` is stable, `message` a sentence."""

    code: str
    message: str


@dataclass(frozen=True)
class Guarded:
    """What stands of a text, and why not all of it, or what is doubtful in it."""

    text: str
    concerns: tuple[Concern, ...] = ()


def guarded(text: str, heard: str, keywords: Sequence[str] = ()) -> Guarded:
    """A transcript before what the character head has heard; `keywords` the model was given."""
    if not is_spelt(text):
        return Guarded(text)
    testimonies = witness(text, heard)
    listed = {letters(word) for term in keywords for word in term.split()}
    dropped: set[int] = set()
    concerns = []
    for run in unheard_runs(testimonies):
        words = [testimonies[n] for n in run]
        goes = _n_spoken(words) >= LEAST_RUN or all(
            letters(one.word) in listed for one in words if one.n_letters
        )
        dropped |= set(run) if goes else set()
        if _n_spoken(words):
            concerns.append(_unheard(words, goes))
    kept = [one for n, one in enumerate(testimonies) if n not in dropped]
    concerns += _unlike(kept)
    if dropped:
        text = " ".join(one.word for one in kept)
    return Guarded(text, tuple(concerns))


def is_spelt(text: str) -> bool:
    """Whether the head has letters for a text: those of Latin-1, accents aside."""
    return all(ord(letter) < N_CODE_POINTS or letter in "œßıøł" for letter in letters(text))


def _n_spoken(words: Sequence[Testimony]) -> int:
    return sum(one.n_letters > 0 for one in words)


def _unheard(words: Sequence[Testimony], goes: bool) -> Concern:
    said = " ".join(one.word for one in words)
    if goes:
        return Concern("unheard_words", f"the encoder did not hear {said!r}, which is left out.")
    return Concern("unheard_word", f"the encoder did not hear {said!r}, which may be invented.")


def _unlike(words: Sequence[Testimony]) -> Iterator[Concern]:
    n_letters = sum(one.n_letters for one in words)
    n_same = sum(one.n_same for one in words)
    if n_letters >= LEAST_LETTERS and n_same < LEAST_SHARE * n_letters:
        yield Concern("unlike", "the text is unlike what the encoder heard; it may be invented.")
