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
from granite_mlx.biasing.spelt_out import is_known, is_spelt_out, readings
from granite_mlx.ctc.witness import letters, letters_beside
from granite_mlx.decoding.guard import Concern, Guarded, is_spelt

HIGHEST_COST = 0.45
"""Of each sound of a term, borders included. "Nguyen" heard as "win" costs 0.35."""

LEAST_LETTERS, HIGHEST_COST_OF_SHORT = 4, 0.3
"""A shorter term, or one that is spelt out, is like something in every sentence."""


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
        for place in reversed(places_of(text, [term]).get(term, ())):
            end = place + len(term)
            said = _heard_beside(text, place, end, heard)
            if not said or _is_like(term, sounds_like, said):
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
    """The terms of a text beside which the character head has heard something that is like them.

    Not those that it spells so itself, as "the": they are written without a list, too.
    """
    return tuple(
        term
        for term, places in places_of(text, keywords).items()
        if (said := _heard_beside(text, places[0], places[0] + len(term), heard)) not in ("", term)
        and _is_judged(term)
        and _is_like(term, sounds_like, said)
    )


def _is_judged(term: str) -> bool:
    """Not what may be any sound: numbers, other scripts, and a letter that is a word as well."""
    if len(term) == 1 and term.islower():
        return False
    return bool(letters(term)) and is_known(term) and is_spelt(term)


def _is_like(term: str, sounds_like: Sequence[tuple[str, str]], said: str) -> bool:
    aliases = (alias for own, alias in sounds_like if own == term)
    spoken = [one for one in map(sounds, [*readings(term), *aliases]) if one]
    if not spoken:
        return False
    highest = HIGHEST_COST_OF_SHORT if _is_short(term) else HIGHEST_COST
    costs = best_fit(spoken, [sounds(said) or BORDER], BY_SOUND).costs
    return bool((costs <= highest * np.array(list(map(len, spoken)))).any())


def _is_short(term: str) -> bool:
    return is_spelt_out(term) or len(letters(term)) < LEAST_LETTERS


def _heard_beside(text: str, start: int, end: int, heard: str) -> str:
    """The words that the head has heard beside a part of a text.

    A short term is said with more letters than it has: all count that are heard beside no others.
    """
    before, own = len(letters(text[:start])), len(letters(text[start:end]))
    places = [place for place, sign in enumerate(heard) for _ in letters(sign)]
    beside = letters_beside(text, heard)
    found = [place for place in beside[before : before + own] if place >= 0]
    if not found:
        return ""
    if _is_short(text[start:end]):
        lower = max((place for place in beside[:before] if place >= 0), default=-1)
        upper = min((p for p in beside[before + own :] if p >= 0), default=len(places))
        found = [lower + 1, upper - 1]
    found = [places[place] for place in found]
    first = heard.rfind(" ", 0, min(found)) + 1
    behind = heard.find(" ", max(found))
    return heard[first : None if behind < 0 else behind]
