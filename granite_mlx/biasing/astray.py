"""Answers that a list of keywords has led astray: words give way to others that nobody said.

A small decoder can lose its way over a list that is like none it has learnt from (one letter a
hundred times, a script that it cannot spell). Then words that the character head has heard are
missing, or others stand in their place that are no terms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from granite_mlx.biasing.reporting import places_of
from granite_mlx.biasing.spelt_out import is_spelt_out
from granite_mlx.ctc.witness import letters, letters_beside

LEAST_LETTERS = 3
"""Of a word that is looked at: heads and decoders differ over shorter ones."""

LEAST_BETTER = 3
"""Letters by which another answer has to be more like what was heard."""

SPARE_LETTERS = 3
SPARE_OF_SIGNS = 3
"""So many more letters than it is written with may be heard beside a term, and beside each sign of
an abbreviation, a number, or a script that the head does not know: "S" is "ess"."""

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
    # Of "Zachary", of which "zero" is written, some letters are missing and others are unlike.
    for place, is_unlike in zip(letters_beside(text, heard), unlike, strict=True):
        if place >= 0 and is_unlike:
            missing[place] = True
    return any(_is_most(text.split(), unlike)) or any(_is_most(heard.split(), missing))


def n_unlike(text: str, heard: str, keywords: Sequence[str]) -> int:
    """Letters of a text that were not heard so, terms aside, and heard letters that it lacks."""
    unlike, missing = _disagreements(text, heard, keywords)
    return sum(unlike) + sum(missing) + _NO_CHARACTER_COSTS * text.count(_NO_CHARACTER)


def _disagreements(text: str, heard: str, keywords: Sequence[str]) -> tuple[list[bool], list[bool]]:
    """Of each letter of a text and of what was heard, whether the other one does not bear it out.

    A term may be spelt otherwise than it sounds, longer or shorter.
    """
    own, said = letters(text), letters(heard)
    beside = letters_beside(text, heard)
    spare = _spare_letters(text, keywords)
    unlike = [
        not n_spare and (place < 0 or said[place] != letter)
        for letter, place, n_spare in zip(own, beside, spare, strict=True)
    ]
    taken = {place: n for n, place in enumerate(beside) if place >= 0}
    missing = [False] * len(said)
    first = 0
    for last in (*sorted(taken), len(said)):
        # Letters that were heard beside none, next to a term that may sound so much longer.
        around = [spare[taken[place]] for place in (first - 1, last) if place in taken]
        if last - first > max(around, default=0):
            missing[first:last] = [True] * (last - first)
        first = last + 1
    return unlike, missing


def _spare_letters(text: str, keywords: Sequence[str]) -> list[int]:
    """Of each letter of a text, by how much more may be heard beside the word that it is in.

    0 where that has no term in it.
    """
    marked = [0] * len(text)
    for term, places in places_of(text, keywords).items():
        if len(term) == 1 and term.islower():
            continue  # in any list of letters, and no sign of a term
        foreign = sum(not "a" <= one <= "z" for one in letters(term))
        n_signs = len(term) if is_spelt_out(term) else foreign
        for place in places:
            first = text.rfind(" ", 0, place) + 1
            last = text.find(" ", place + len(term))
            last = len(text) if last < 0 else last
            marked[first:last] = [SPARE_LETTERS + SPARE_OF_SIGNS * n_signs] * (last - first)
    return [n for sign, n in zip(text, marked, strict=True) for _ in letters(sign)]


def _is_most(words: Sequence[str], letters_of_them: Sequence[bool]) -> Iterator[bool]:
    """Of each word, whether that holds of more than half of its letters."""
    start = 0
    for word in words:
        n = len(letters(word))
        yield n >= LEAST_LETTERS and 2 * sum(letters_of_them[start : start + n]) > n
        start += n
