"""A transcript as lines that a model can cite: [number] time speaker: what was said.

The lines are put between marks that nobody who spoke could know, so that where the material ends
cannot be faked; docs/second-pass.md tells what that does not prevent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from granite_mlx.transcript import Transcript

MARK_DIGITS = 8


@dataclass(frozen=True)
class Line:
    """A segment, or a part of a very long one; `segment` is its id in the transcript."""

    segment: int
    head: str
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """As the model sees it; there is no line break in it."""
        return f"{self.head} {' '.join(self.words)}"

    def halves(self) -> tuple[Line, Line] | None:
        """Two lines with the same head; a word is cut only where it stands alone, as Japanese does.

        None of one letter.
        """
        whole = self.words if len(self.words) > 1 else tuple(self.words[0])
        middle = len(whole) // 2
        if not middle:
            return None
        first, second = whole[:middle], whole[middle:]
        if len(self.words) == 1:
            first, second = ("".join(first),), ("".join(second),)
        return Line(self.segment, self.head, first), Line(self.segment, self.head, second)


def numbered(transcript: Transcript) -> list[Line]:
    """A line for each segment that has text."""
    return [
        Line(number, _head(number, segment.start_s, segment.speaker), tuple(words))
        for number, segment in enumerate(transcript.segments)
        if (words := segment.text.split())
    ]


def clock(time_s: float) -> str:
    """75.4 -> 0:01:15."""
    minutes, seconds = divmod(int(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def delimited(name: str, texts: Sequence[str]) -> tuple[str, str]:
    """Texts between two marks, and the name in the marks: name-1a2b3c4d.

    The digits depend on the texts themselves, so that no text can hold its own mark, and the same
    question gives the same prompt.
    """
    body = "\n".join(texts)
    mark = f"{name}-{hashlib.sha256(body.encode(errors='replace')).hexdigest()[:MARK_DIGITS]}"
    return f"<{mark}>\n{body}\n</{mark}>", mark


def _head(number: int, start_s: float, speaker: str | None) -> str:
    label = "" if speaker is None else f" {' '.join(speaker.split())}:"
    return f"[{number}] {clock(start_s)}{label}"
