"""Whether a quote was said: a search for its words in those of the transcript.

Compared are words, without case, punctuation and the encodings of one letter (NFKC): what is a
matter of taste. Quotes may run over segments, but not from one speaker to another. An ellipsis
stands for anything left out; what stands around it must come in order.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from granite_mlx.transcript import Transcript

# Letters of scripts without spaces are words of their own: Hiragana, Katakana, Han.
UNSPACED = r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
WORD = re.compile(rf"{UNSPACED}|(?:(?!{UNSPACED})[^\W_])+")
ELLIPSIS = re.compile(r"\[?(?:\.\s?){3,}\]?|\[?…\]?")
BORDER = "\n"  # no word: nothing that is searched for has it


@dataclass(frozen=True)
class Quote:
    """What an answer puts between quotation marks, and where it was said.

    `segments` are the ids of the segments with its words, the first place where they were said;
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

    def look_up(self, quote: str) -> Quote | None:
        """A quote with its place; None where it holds no words."""
        pieces = [words for part in ELLIPSIS.split(quote) if (words := words_of(part))]
        if not pieces:
            return None
        at, places = 0, []
        for words in pieces:
            wanted = f" {' '.join(words)} "
            at = self._text.find(wanted, at)
            if at < 0:
                return Quote(quote, False)
            first = bisect_right(self._starts, at + 1) - 1
            places += self._segments[first : first + len(words)]
            at += len(wanted) - 1
        segments = tuple(dict.fromkeys(places))
        ends = [self._transcript.segments[number] for number in (segments[0], segments[-1])]
        return Quote(quote, True, segments, ends[0].start_s, ends[1].end_s)
