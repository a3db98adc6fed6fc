"""Terms that the text has from the list and not from the audio.

A term may be written otherwise than it sounds, but not like anything at all: where it has hardly a
sound in common with what the character head heard, the head's letters take its place. (A term
beside which the head has heard no letter is the guard's business, decoding/guard.py.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from granite_mlx.biasing.likeness import BY_SOUND, best_fit
from granite_mlx.biasing.reporting import places_of
from granite_mlx.biasing.sounds import sounds
from granite_mlx.ctc.witness import alignment, letters
from granite_mlx.decoding.guard import Concern, Guarded, is_spelt

HIGHEST_COST = 0.45
"""Of each sound of a term, borders included. "Nguyen" heard as "win" costs 0.35."""

LEAST_LETTERS = 4
"""A shorter term is like something in every sentence, or an abbreviation."""


def without_echoes(
    kept: Guarded,
    heard: str,
    keywords: Sequence[str],
    sounds_like: Sequence[tuple[str, str]] = (),
) -> Guarded:
    """A transcript in which terms that are like nothing that was heard are not left standing.

    Args:
        heard: what the character head has heard, as text.
        keywords: the terms that the model was given.
        sounds_like: (term, alias) pairs.
    """
    found = places_of(kept.text, [term for term in keywords if _is_judged(term)])
    echoed = sorted(_echoed(list(found), heard, sounds_like), key=len, reverse=True)
    concerns = list(kept.concerns)
    text = kept.text
    for term in echoed:
        for place in reversed(places_of(text, [term]).get(term, ())):
            said = _heard_beside(text, place, place + len(term), heard)
            text = " ".join(f"{text[:place]}{said}{text[place + len(term) :]}".split())
            concerns.append(
                Concern(
                    "echoed_keyword",
                    f"the keyword {term!r} is unlike what the encoder heard, "
                    + (f"{said!r}, which stands in its place." if said else "and is left out."),
                )
            )
    return Guarded(text, tuple(concerns))


def _is_judged(term: str) -> bool:
    plain = letters(term)
    return len(plain) >= LEAST_LETTERS and plain.isalpha() and is_spelt(term)


def _echoed(
    terms: Sequence[str], heard: str, sounds_like: Sequence[tuple[str, str]]
) -> Iterator[str]:
    """The terms that are unlike all that was heard, their aliases as well."""
    said = sounds(heard)
    if not terms or not said:
        return
    written = set(terms)
    spellings = [(term, term) for term in terms]
    spellings += [(term, alias) for term, alias in sounds_like if term in written]
    spoken = [sounds(spelling) for _, spelling in spellings]
    costs = best_fit(spoken, [said], BY_SOUND).costs / np.array(
        [max(1, len(one)) for one in spoken]
    )
    supported = {
        term for (term, _), cost in zip(spellings, costs, strict=True) if cost <= HIGHEST_COST
    }
    yield from (term for term in terms if term not in supported)


def _heard_beside(text: str, start: int, end: int, heard: str) -> str:
    """What the head has heard beside a part of a text."""
    before, own = len(letters(text[:start])), len(letters(text[start:end]))
    places = [place for place, sign in enumerate(heard) for _ in letters(sign)]
    beside = alignment(_numbers(letters(text)), _numbers(letters(heard)))[before : before + own]
    found = [places[place] for place in beside if place >= 0]
    return heard[min(found) : max(found) + 1].strip() if found else ""


def _numbers(text: str) -> np.ndarray:
    return np.array([ord(letter) for letter in text], dtype=np.int32)
