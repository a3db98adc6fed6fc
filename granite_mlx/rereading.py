"""Pieces in which nobody pauses, read once more in smaller ones (docs/long-recordings.md).

Such a piece may hold the end of one sentence and the beginning of another, by another voice. There
a decoder mistakes words or leaves them out which it has right where it hears them in other company.
So where the character head has heard another word the piece is cut elsewhere, and the reading
stands that is more like what was heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from granite_mlx.assembly import joined, text_of
from granite_mlx.audio.stream import SAMPLE_RATE
from granite_mlx.biasing.astray import LEAST_BETTER, may_be_astray, n_unlike
from granite_mlx.ctc.greedy import knows_letters, spelt
from granite_mlx.decoding.guard import is_spelt
from granite_mlx.reading import Spoken, may_hold_words
from granite_mlx.recognition import Answered
from granite_mlx.segments.limits import SMALLEST_GREATEST_S, SegmentLimits
from granite_mlx.segments.splitter import Hear, Splitter
from granite_mlx.transcript import Segment, TranscriptWarning

SHARE = 0.65
"""Of a piece's length, the greatest one of a smaller piece: two of them, and what they share."""


@dataclass(frozen=True, eq=False)
class Read:
    """A piece and what was made of it; `start_s` is when it begins in the recording."""

    spoken: Spoken
    start_s: float
    answer: Answered | Exception
    segments: tuple[Segment, ...] = ()
    warnings: Sequence[TranscriptWarning] = ()


def is_doubtful(read: Read) -> bool:
    """Whether a piece goes on over its border, and its text has a word that was not heard so."""
    task, answer = read.spoken.task, read.answer
    if isinstance(answer, Exception) or not read.spoken.piece.overlaps:
        return False
    if not answer.generated.finished:
        return False  # words are missing since no more were asked for
    if task.to is not None or task.tags or any(one.speaker for one in read.segments):
        return False  # what the head hears is no witness of it
    text = text_of(read.segments)
    if not knows_letters(answer.witness.labels) or not is_spelt(text):
        return False
    return may_be_astray(text, _heard(answer), _keywords(answer))


def smaller(spoken: Spoken, limits: SegmentLimits, hear: Hear) -> list[Spoken]:
    """The same, cut elsewhere: pieces that overlap its neighbours as it does.

    None where it cannot be cut.
    """
    piece = spoken.piece
    greatest_s = SHARE * len(piece.samples) / SAMPLE_RATE
    within = limits.within(max(SMALLEST_GREATEST_S, greatest_s))
    splitter = Splitter(within, hear, start=piece.start)
    found = [*splitter.push(piece.samples), *splitter.finish()]
    if len(found) < 2 or not all(map(may_hold_words, found)):
        return []
    found[0] = replace(found[0], seam=piece.seam)
    found[-1] = replace(found[-1], joined_on=piece.joined_on)
    return [replace(spoken, piece=one) for one in found]


def is_better(second: Sequence[Read], first: Read) -> bool:
    """Whether smaller pieces are more like what was heard of the whole one."""
    if isinstance(first.answer, Exception):
        return False
    if any(isinstance(one.answer, Exception) for one in second):
        return False
    heard, keywords = _heard(first.answer), _keywords(first.answer)
    now, then = (
        n_unlike(text_of(segments), heard, keywords) for segments in (_all(second), first.segments)
    )
    return now + LEAST_BETTER <= then


def _all(parts: Sequence[Read]) -> list[Segment]:
    """The segments of smaller pieces, each word once."""
    done: list[Segment] = []
    last: tuple[Segment, ...] = ()
    for part in parts:
        piece, following = part.spoken.piece, part.segments
        if part is not parts[0] and piece.seam is not None:
            at_s = part.start_s + (piece.seam.at - piece.start) / SAMPLE_RATE
            last, following = joined(last, following, piece.seam, at_s)
        done += last
        last = following
    return [*done, *last]


def _heard(answer: Answered) -> str:
    return spelt(answer.witness.labels)


def _keywords(answer: Answered) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*answer.task.keywords, *answer.boosted)))
