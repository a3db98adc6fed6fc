"""Whether a quote was said: a search for its words in those of the transcript.

Compared are words, without case, punctuation and the encodings of one letter (NFKC): what is a
matter of taste. Quotes may run over segments, but not from one speaker to another. An ellipsis
stands for some words left out; what stands around it must come in order, of one speaker, and not
far apart: of single words from all over a recording any sentence could be made.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from granite_mlx.transcript import Transcript

# Letters of scripts without spaces are words of their own: Hiragana, Katakana, Han.
UNSPACED = r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
WORD = re.compile(rf"{UNSPACED}|(?:(?!{UNSPACED})[^\W_])+")
ELLIPSIS = re.compile(r"\[?(?:\.\s?){3,}\]?|\[?…\]?")
MOST_LEFT_OUT = 100  # words at an ellipsis
BORDER = "\n"  # no word: nothing that is searched for has it


@dataclass(frozen=True)
class Quote:
    """What an answer puts between quotation marks, and where it was said.

    `segments` are the ids of the segments with its words: the first place where they were said,
    or the one that the answer names, if it is among them;
    empty and without times where they were not.
    """

    text: str
    is_supported: bool
    segments: tuple[int, ...] = ()
    start_s: float | None = None
    end_s: float | None = None


def words_of(text: str) -> list[str]:
    """The words that are compared: "Don't - stop!" -> don, t, stop."""
    return WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def keeps_words(text: str, said: str) -> bool:
    """Whether a text has no words but those of another one, in their order."""
    waiting = iter(words_of(said))
    return all(word in waiting for word in words_of(text))


class Said:
    """What was said, ready to be searched."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        words: list[str] = []
        self._segments: list[int] = []  # of each word
        before: str | None = None
        for number, segment in enumerate(transcript.segments):
            if words and segment.speaker != before:
                words.append(BORDER)
                self._segments.append(number)
            found = words_of(segment.text)
            words += found
            self._segments += [number] * len(found)
            before = segment.speaker
        self._text = f" {' '.join(words)} "
        # Where in that text each word begins.
        self._starts = [*accumulate((len(word) + 1 for word in words), initial=1)]

    def look_up(self, quote: str, wanted: int | None = None) -> Quote | None:
        """A quote with its place; None where it holds no words.

        Args:
            wanted: the segment where it should be: if it was said there, too, that is its place.
        """
        pieces = [words for part in ELLIPSIS.split(quote) if (words := words_of(part))]
        if not pieces:
            return None
        places = [
            tuple(dict.fromkeys(self._segments[word] for words in chain for word in words))
            for chain in self._chains(pieces)
        ]
        if not places:
            return Quote(quote, False)
        segments = next((one for one in places if wanted in one), places[0])
        ends = [self._transcript.segments[number] for number in (segments[0], segments[-1])]
        return Quote(quote, True, segments, ends[0].start_s, ends[1].end_s)

    def _chains(self, pieces: Sequence[list[str]]) -> list[list[range]]:
        """All places where pieces stand one behind the other, as numbers of words."""
        chains = [[one] for one in self._occurrences(pieces[0])]
        for words in pieces[1:]:
            ends = [chain[-1].stop for chain in chains]
            before = chains
            chains = []
            for one in self._occurrences(words):
                nearest = bisect_right(ends, one.start) - 1
                if nearest >= 0 and self._is_near(ends[nearest], one.start):
                    chains.append([*before[nearest], one])
        return chains

    def _occurrences(self, words: list[str]) -> Iterator[range]:
        wanted = f" {' '.join(words)} "
        at = self._text.find(wanted)
        while at >= 0:
            first = bisect_right(self._starts, at + 1) - 1
            yield range(first, first + len(words))
            at = self._text.find(wanted, at + 1)

    def _is_near(self, end: int, start: int) -> bool:
        """Whether one speaker says, with few words between, what ends and what starts there."""
        between = self._text[self._starts[end] : self._starts[start]]
        return start - end <= MOST_LEFT_OUT and BORDER not in between
