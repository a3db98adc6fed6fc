"""Answers that a list of keywords has led astray: words give way to others that nobody said.

A small decoder can lose its way over a list that is like none it has learnt from (one letter a
hundred times, a script that it cannot spell). Then words that the character head has heard are
missing, or others stand in their place that are no terms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from granite_mlx.biasing.reporting import places_of
from granite_mlx.ctc.witness import letters, letters_beside

LEAST_LETTERS = 3
"""Of a word that is looked at: heads and decoders differ over shorter ones."""

LEAST_BETTER = 3
"""Letters by which another answer has to be more like what was heard."""

_NO_CHARACTER = "\ufffd"
_NO_CHARACTER_COSTS = 4


def may_be_astray(text: str, heard: str, keywords: Sequence[str]) -> bool:
    """Whether some word is unlike what was heard beside it, terms aside, or missing.

    Args:
        text: of a transcript.
        heard: what the character head has heard, as text.
        keywords: the terms that the decoder was given.
    """
    if _NO_CHARACTER in text:
        return True
    unlike, missing = _disagreements(text, heard, keywords)
    return any(_is_most(text.split(), unlike)) or any(_is_most(heard.split(), missing))


def n_unlike(text: str, heard: str, keywords: Sequence[str]) -> int:
    """Letters of a text that were not heard so, terms aside, and heard letters that it lacks."""
    unlike, missing = _disagreements(text, heard, keywords)
    return sum(unlike) + sum(missing) + _NO_CHARACTER_COSTS * text.count(_NO_CHARACTER)


def _disagreements(
    text: str, heard: str, keywords: Sequence[str]
) -> tuple[list[bool], list[bool]]:
    """Of each letter of a text and of what was heard, whether the other one does not bear it out.

    A term may be spelt otherwise than it sounds, longer or shorter.
    """
    own, said = letters(text), letters(heard)
    beside = letters_beside(text, heard)
    is_term = _in_terms(text, keywords)
    unlike = [
        not listed and (place < 0 or said[place] != letter)
        for letter, place, listed in zip(own, beside, is_term, strict=True)
    ]
    taken = {place: n for n, place in enumerate(beside) if place >= 0}
    missing = [False] * len(said)
    first = 0
    for last in (*sorted(taken), len(said)):
        # Letters that were heard beside none, next to a term that may sound so much longer.
        around = [taken[place] for place in (first - 1, last) if place in taken]
        n_spare = sum(is_term) if any(is_term[n] for n in around) else 0
        if last - first > n_spare:
            missing[first:last] = [True] * (last - first)
        first = last + 1
    return unlike, missing


def _in_terms(text: str, keywords: Sequence[str]) -> list[bool]:
    """Of each letter of a text, whether it belongs to a word that has a term in it."""
    marked = [False] * len(text)
    for term, places in places_of(text, keywords).items():
        for place in places:
            first = text.rfind(" ", 0, place) + 1
            last = text.find(" ", place + len(term))
            last = len(text) if last < 0 else last
            marked[first:last] = [True] * (last - first)
    return [mark for sign, mark in zip(text, marked, strict=True) for _ in letters(sign)]


def _is_most(words: Sequence[str], letters_of_them: Sequence[bool]) -> Iterator[bool]:
    """Of each word, whether that holds of more than half of its letters."""
    start = 0
    for word in words:
        n = len(letters(word))
        yield n >= LEAST_LETTERS and 2 * sum(letters_of_them[start : start + n]) > n
        start += n
