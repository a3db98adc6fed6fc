"""Terms that the text has from the list and not from the audio.

A term may be written otherwise than it sounds, but not like anything at all: where it has hardly a
sound in common with what the character head heard, the head's letters take its place. (A term
beside which the head has heard no letter is the guard's business, decoding/guard.py.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from granite_mlx.biasing.likeness import BY_SOUND, best_fit
from granite_mlx.biasing.reporting import places_of
from granite_mlx.biasing.sounds import BORDER, sounds
from granite_mlx.ctc.witness import letters, letters_beside
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
    text, concerns = kept.text, list(kept.concerns)
    for term in filter(_is_judged, places_of(text, keywords)):
        spellings = _spellings(term, sounds_like)
        for place in reversed(places_of(text, [term]).get(term, ())):
            end = place + len(term)
            said = _heard_beside(text, place, end, heard)
            if not said or _is_like(spellings, said):
                continue
            text = f"{text[:place]}{said}{text[end:]}"
            concerns.append(
                Concern(
                    "echoed_keyword",
                    f"the keyword {term!r} is unlike what the encoder heard, {said!r}, which "
                    "stands in its place.",
                )
            )
    return Guarded(text, tuple(concerns))


def said_terms(
    text: str,
    heard: str,
    keywords: Sequence[str],
    sounds_like: Sequence[tuple[str, str]] = (),
) -> tuple[str, ...]:
    """The terms of a text beside which the character head has heard something that is like them."""
    return tuple(
        term
        for term, places in places_of(text, keywords).items()
        if (said := _heard_beside(text, places[0], places[0] + len(term), heard))
        and (not _is_judged(term) or _is_like(_spellings(term, sounds_like), said))
    )


def _spellings(term: str, sounds_like: Sequence[tuple[str, str]]) -> list[str]:
    return [term, *(alias for own, alias in sounds_like if own == term)]


def _is_judged(term: str) -> bool:
    plain = letters(term)
    return len(plain) >= LEAST_LETTERS and plain.isalpha() and is_spelt(term)


def _is_like(spellings: Sequence[str], said: str) -> bool:
    spoken = [one for one in map(sounds, spellings) if one]
    if not spoken:
        return False
    costs = best_fit(spoken, [sounds(said) or BORDER], BY_SOUND).costs
    return bool((costs <= HIGHEST_COST * np.array(list(map(len, spoken)))).any())


def _heard_beside(text: str, start: int, end: int, heard: str) -> str:
    """The words that the head has heard beside a part of a text."""
    before, own = len(letters(text[:start])), len(letters(text[start:end]))
    places = [place for place, sign in enumerate(heard) for _ in letters(sign)]
    beside = letters_beside(text, heard)[before : before + own]
    found = [places[place] for place in beside if place >= 0]
    if not found:
        return ""
    first = heard.rfind(" ", 0, min(found)) + 1
    behind = heard.find(" ", max(found))
    return heard[first : None if behind < 0 else behind]
