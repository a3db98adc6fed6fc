"""What the character head has heard and a text leaves out: whole words without a letter beside.

The decoder can leave out a phrase, where one voice follows another without a pause, say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from granite_mlx.ctc.certainty import Certainty
from granite_mlx.ctc.witness import letters, letters_beside


@dataclass(frozen=True)
class Omission:
    """Neighbouring words that are missing in a text.

    Attributes:
        words: as they were heard.
        first: the place of the first one among the words that were heard, those with letters.
        n_before: words of the text in front of them.
    """

    words: tuple[str, ...]
    first: int
    n_before: int

    @property
    def n_letters(self) -> int:
        """Of all words."""
        return len(letters("".join(self.words)))


def omissions(text: str, heard: str) -> list[Omission]:
    """What of the words that were heard is missing in a text, from its beginning to its end."""
    said, own = letters(heard), letters(text)
    words = [word for word in heard.split() if letters(word)]
    starts = _starts(words)
    text_ends = _starts(text.split())[1:]
    found = []
    for first, last, place in _gaps(letters_beside(text, heard), len(said)):
        shift = _to_borders(said, own, (first, last, place), starts)
        inside = [
            n
            for n in range(len(words))
            if first + shift <= starts[n] and starts[n + 1] <= last + shift
        ]
        if inside:
            n_before = sum(end <= place + shift for end in text_ends)
            is_within = place + shift > (0, *text_ends)[n_before]
            missing = tuple(words[n] for n in inside)
            found.append(Omission(missing, inside[0], n_before + is_within))
    return found


def certain_parts(omission: Omission, heard: Sequence[Certainty]) -> Iterator[Omission]:
    """All of it, if that was surely heard, or its words in a row that were; of all words heard."""
    places = range(omission.first, omission.first + len(omission.words))
    if sum((heard[n] for n in places), Certainty(0.0, 0)).is_certain:
        yield omission
        return
    for sure, group in groupby(places, lambda n: heard[n].is_certain):
        run = [*group]
        if sure:
            start = run[0] - omission.first
            words = omission.words[start : start + len(run)]
            yield Omission(words, run[0], omission.n_before)


def _starts(words: Sequence[str]) -> list[int]:
    """Letters before each word, and of all."""
    return [0, *accumulate(len(letters(word)) for word in words)]


def _gaps(beside: Sequence[int], n_heard: int) -> Iterator[tuple[int, int, int]]:
    """Letters heard from a first to before a last that have none of the text beside them.

    With each gap, the letters of the text that stand before it.
    """
    taken = {one: place for place, one in enumerate(beside) if one >= 0}
    n_before = 0
    for is_free, group in groupby(range(n_heard), lambda one: one not in taken):
        run = [*group]
        if is_free:
            yield run[0], run[-1] + 1, n_before
        else:
            n_before = taken[run[-1]] + 1


def _to_borders(said: str, own: str, gap: tuple[int, int, int], starts: Sequence[int]) -> int:
    """How far a gap may be moved so that it begins and ends between words; 0 where it cannot.

    "the cat sat on the mat" is "the mat" without "cat sat on the", or "the cat sat on".
    """
    first, last, place = gap
    borders = set(starts)
    if first in borders and last in borders:
        return 0
    for step in (-1, 1):
        shift = 0
        while True:
            # The letter that leaves the gap at one end takes the one that enters it at the other.
            if step < 0:
                k = shift - 1
                fits = first + k >= 0 and place + k >= 0
                fits = fits and said[last + k] == own[place + k] == said[first + k]
            else:
                k = shift
                fits = last + k < len(said) and place + k < len(own)
                fits = fits and said[first + k] == own[place + k] == said[last + k]
            if not fits:
                break
            shift += step
            if first + shift in borders and last + shift in borders:
                return shift
    return 0
