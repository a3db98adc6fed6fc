"""What of an answer stands, once the character head has been heard as a witness.

The rule, over the words of a transcript (docs/guard.md):

1. Two or more neighbouring words of which it has heard nothing go, and so does a single one that
   comes from the list of keywords: a list is what models recite when they hear nothing.
2. Another single one stays and is named in a warning: the head misses a short word at times.
3. A text of which it has heard hardly a letter as it is written stays and is named, too.
4. Two or more neighbouring words that it has heard and of which the text has nothing are put in as
   they were heard, into a text and between words that it has heard as they are written.

What the head has no letters for, as Japanese, is not judged.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from granite_mlx.ctc.certainty import Certainty
from granite_mlx.ctc.greedy import N_CODE_POINTS
from granite_mlx.ctc.omissions import Omission, certain_parts, omissions
from granite_mlx.ctc.witness import Testimony, letters, unheard_runs, witness

_SIGNS = re.compile(r"[\d%&@#/*+=_\\^~|<>$€£¥°§]|\w[.:]\w")

N_BESIDE = 3
"""Words on either side of what is put in. Of "a $25 bill" it hears "a twenty five dollar bill", and
the "a" of the text may stand beside the one of "dollar"."""

LEAST_RUN = 2
"""Neighbouring words. No recording of benchmarks/guard.py has two that were said and not heard."""

LEAST_SHARE = 0.3
LEAST_LETTERS = 8
"""A text is unlike what was heard where a smaller share of so many letters is the same."""

LEAST_LEFT_OUT = 2
LEAST_LEFT_OUT_LETTERS = 6
LEAST_NAMED_LETTERS = 4
"""What is put in: a doubled word, and one that is cut at the edge of a segment, is less."""

SURE_SHARE = 0.75
"""Of the letters of a text and of both neighbours are heard as they are written, or nothing is put
in: in noise the head writes what nobody said. Of a digit it hears the word, and so no letter."""


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


def guarded(
    text: str,
    heard: str,
    keywords: Sequence[str] = (),
    certainty: Callable[[], Sequence[Certainty]] | None = None,
    is_whole: bool = True,
) -> Guarded:
    """A transcript before what the character head has heard.

    Args:
        keywords: those that the model was given.
        certainty: that of each word that was heard; None where all of them surely were.
        is_whole: whether the decoder had ended; nothing is put in behind a text that is cut off.
    """
    if not is_spelt(text):
        return Guarded(text)
    if not letters(text):
        return Guarded(text, tuple(_all_missing(heard, certainty) if is_whole else ()))
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
    kept = {n: one for n, one in enumerate(testimonies) if n not in dropped}
    concerns += _unlike([*kept.values()])
    missing = []
    if _is_sure(kept.values()):
        found = omissions(text, heard)
        if found and certainty is not None:
            sure = certainty()
            found = [part for one in found for part in certain_parts(one, sure)]
        found = [one for one in found if is_whole or one.n_before < len(testimonies)]
        belonging = [_as_listed(one, keywords) for one in found if _belongs(one, kept)]
        missing = [one for one in belonging if _is_long(one)]
        concerns += [_missed(one) if _is_long(one) else _lacking(one) for one in belonging]
    if dropped or missing:
        # A sort keeps the order of what has the same place.
        parts = [(n + 1, one.word) for n, one in kept.items()]
        parts += [(one.n_before, " ".join(one.words)) for one in missing]
        text = " ".join(part for _, part in sorted(parts, key=lambda part: part[0]))
    return Guarded(text, tuple(concerns))


def is_spelt(text: str) -> bool:
    """Whether the head has letters for a text: those of Latin-1, accents aside."""
    return all(ord(letter) < N_CODE_POINTS or letter in "œßıøł" for letter in letters(text))


def _is_long(omission: Omission) -> bool:
    """Whether there is enough of it to be put in."""
    n_words, n_letters = len(omission.words), omission.n_letters
    return n_words >= LEAST_LEFT_OUT and n_letters >= LEAST_LEFT_OUT_LETTERS


def _lacking(omission: Omission) -> Concern:
    return Concern(
        "left_out_word",
        f"the encoder heard {' '.join(omission.words)!r}, which the text lacks.",
    )


def _belongs(omission: Omission, kept: Mapping[int, Testimony]) -> bool:
    """Whether the words belong between those that are kept: n -> the nth of the text."""
    if omission.n_letters < LEAST_NAMED_LETTERS:
        return False
    before = [one for n, one in kept.items() if n < omission.n_before and one.n_letters][-1:]
    after = [one for n, one in kept.items() if n >= omission.n_before and one.n_letters][:1]
    near = range(omission.n_before - N_BESIDE, omission.n_before + N_BESIDE)
    near_words = [one.word for n, one in kept.items() if n in near]
    has_signs = any(map(_is_said_longer, near_words + [one.word for one in before + after]))
    is_upper = all(one.word.upper() == one.word for one in kept.values())
    has_signs |= not is_upper and any(map(_is_abbreviation, near_words))
    return not has_signs and all(_is_sure([one]) for one in before + after)


def _is_said_longer(word: str) -> bool:
    """Whether signs and digits are said with letters that they have not: "25 %", "C++", "www."."""
    return bool(_SIGNS.search(unicodedata.normalize("NFKD", word)))


def _is_abbreviation(word: str) -> bool:
    """In capitals that may be read as the words that they stand for: "NYC"."""
    return word.isupper() and len(letters(word)) > 1


def _as_listed(omission: Omission, keywords: Sequence[str]) -> Omission:
    """The same, single words as the keywords spell them."""
    listed = {letters(term): term for term in keywords if len(term.split()) == 1}
    words = tuple(listed.get(letters(word), word) for word in omission.words)
    return replace(omission, words=words)


def _all_missing(
    heard: str, certainty: Callable[[], Sequence[Certainty]] | None
) -> Iterator[Concern]:
    """What is to be said where nothing was written."""
    for one in omissions("", heard):
        is_sure = certainty is None or sum(certainty(), Certainty(0.0, 0)).is_certain
        if _is_long(one) and is_sure:
            yield _lacking(one)


def _is_sure(words: Collection[Testimony]) -> bool:
    """Whether the head has heard words about as they are written."""
    n_letters = sum(one.n_letters for one in words)
    return n_letters > 0 and sum(one.n_same for one in words) >= SURE_SHARE * n_letters


def _missed(omission: Omission) -> Concern:
    return Concern(
        "left_out_words",
        f"the decoder left out {' '.join(omission.words)!r}, which was put in as the encoder "
        "heard it.",
    )


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
