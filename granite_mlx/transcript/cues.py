"""Segments as cues: what stands on the screen together, from when to when.

1. Segments become pieces with times, and runs of pieces that one speaker says without a long rest.
2. Each run is divided into cues: of all ways that fit, the one that reads best.
3. The pieces of each cue are laid out in lines.
4. Cues stay long enough to be read, one after the other, none over another.

Everything is computed in whole milliseconds, so that what is written is what was checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise

from granite_mlx.transcript.characters import clusters, is_wide, split, width
from granite_mlx.transcript.lines import Lines, Room, balanced_lines, filled
from granite_mlx.transcript.pieces import (
    MS_PER_S,
    Piece,
    break_cost,
    keep_cost,
    milliseconds,
    segment_pieces,
)
from granite_mlx.transcript.subtitle_options import LINE_WIDTH, WIDE_LINE_WIDTH, SubtitleOptions
from granite_mlx.transcript.types import Segment, Transcript

REST_MS = 2000  # a cue never goes on over a silence as long as this
FLICKER_MS = 250  # a gap that is shorter looks like a fault: the cue before stays

# The weights of what makes a division into cues good, against break_cost's 0 to 12.
ONE_MORE = 2.0
FULL = 4.0
TOO_SHORT = 6.0
TOO_DENSE = 4.0

Label = Callable[[str], str]
"""A speaker's name -> what is written before the first line of the cues where it has to be told."""


@dataclass(frozen=True)
class Cue:
    """What is shown from `start_ms` to `end_ms`.

    `label` tells the speaker in front of the first line; "" where that is not needed.
    """

    start_ms: int
    end_ms: int
    speaker: str | None
    label: str
    lines: Lines

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces of all lines, in order."""
        return tuple(piece for line in self.lines for piece in line)


def make_cues(transcript: Transcript, options: SubtitleOptions, label: Label) -> tuple[Cue, ...]:
    """The cues of a transcript: ordered, none empty, none over another, all words in them.

    They end with the recording, or, should a segment be said to end later, with that segment.
    """
    n_columns = options.max_line_width or _usual_width(transcript)
    cues: list[Cue] = []
    for run in _runs(transcript, n_columns, label):
        cues += _run_cues(run, _room(run.label, n_columns, options), options)
    cues.sort(key=lambda cue: cue.start_ms)  # speakers may talk at the same time
    return tuple(_labelled(_timed(cues, _end_ms(transcript), options)))


@dataclass(frozen=True)
class _Run:
    """What one speaker says without a long rest."""

    speaker: str | None
    label: str
    pieces: tuple[Piece, ...]


def _runs(transcript: Transcript, n_columns: int, label: Label) -> Iterator[_Run]:
    segments = sorted(transcript.segments, key=lambda segment: segment.start_s)
    for speaker, group in groupby(segments, key=_speaker):
        shown = "" if speaker is None else _shortened(label(speaker), n_columns // 2)
        pieces = _stream(group, n_columns - width(shown))
        for part in _parts_between_rests(pieces):
            yield _Run(speaker, shown, part)


def _stream(segments: Iterator[Segment], n_columns: int) -> list[Piece]:
    """The pieces of several segments, with words counted on and times that never go back."""
    stream: list[Piece] = []
    for segment in segments:
        first_word = stream[-1].word + 1 if stream else 0
        now_ms = stream[-1].start_ms if stream else 0
        for piece in segment_pieces(segment, n_columns):
            start_ms = max(piece.start_ms, now_ms)
            end_ms = max(piece.end_ms, start_ms)
            word = piece.word + first_word
            space = piece.space and not _needs_no_space(stream, piece)
            stream.append(replace(piece, start_ms=start_ms, end_ms=end_ms, word=word, space=space))
    return stream


def _needs_no_space(stream: Sequence[Piece], piece: Piece) -> bool:
    """Whether two segments meet between wide characters, which are written without spaces."""
    at_border = bool(stream) and stream[-1].ends_segment
    return at_border and is_wide(stream[-1].text[-1]) and is_wide(piece.text[0])


def _parts_between_rests(pieces: Sequence[Piece]) -> Iterator[tuple[Piece, ...]]:
    rests = [
        index
        for index, (before, after) in enumerate(pairwise(pieces), start=1)
        if after.start_ms - before.end_ms >= REST_MS
    ]
    for start, end in pairwise([0, *rests, len(pieces)]):
        if end > start:
            yield tuple(pieces[start:end])


def _run_cues(run: _Run, room: Room, options: SubtitleOptions) -> Iterator[Cue]:
    for start, end in _borders(run.pieces, room, options):
        pieces = run.pieces[start:end]
        end_ms = max(piece.end_ms for piece in pieces)
        lines = balanced_lines(pieces, room)
        yield Cue(pieces[0].start_ms, end_ms, run.speaker, run.label, lines)


def _borders(
    pieces: Sequence[Piece], room: Room, options: SubtitleOptions
) -> list[tuple[int, int]]:
    """The cheapest division into cues: best[k] is the cost of the cues that end before piece k."""
    scale = _Scale(pieces, room, options)
    best = [0.0, *(math.inf for _ in pieces)]
    begins = [0] * (len(pieces) + 1)
    for start in range(len(pieces)):
        for end in filled(pieces, start, room):
            if end > start + 1 and scale.length_ms(start, end) > options.max_cue_s * MS_PER_S:
                break
            cost = best[start] + scale.cost(start, end)
            if cost < best[end]:
                best[end], begins[end] = cost, start
    borders = []
    end = len(pieces)
    while end > 0:
        borders.append((begins[end], end))
        end = begins[end]
    return borders[::-1]


class _Scale:
    """What a cue of the pieces from `start` to before `end` costs the reader."""

    def __init__(self, pieces: Sequence[Piece], room: Room, options: SubtitleOptions) -> None:
        self._pieces, self._room, self._options = pieces, room, options
        pairs = list(pairwise(pieces))
        self._breaks = [0.0, *(break_cost(*pair) for pair in pairs), 0.0]
        self._kept = [0.0, *accumulate((keep_cost(*pair) for pair in pairs), initial=0.0)]
        self._columns = [0, *accumulate(piece.columns + piece.space for piece in pieces)]

    def length_ms(self, start: int, end: int) -> int:
        """How long the words take."""
        return self._pieces[end - 1].end_ms - self._pieces[start].start_ms

    def cost(self, start: int, end: int) -> float:
        columns = self._columns[end] - self._columns[start] - self._pieces[start].space
        fullness = columns / self._room.capacity
        kept = self._kept[end] - self._kept[start + 1]
        return (
            ONE_MORE
            + FULL * fullness * fullness
            + self._breaks[end]
            + kept
            + self._haste(start, end, columns)
        )

    def _haste(self, start: int, end: int, columns: int) -> float:
        """The cost of a cue that is gone before it can be seen, or read."""
        least_ms = self._options.min_cue_s * MS_PER_S
        reading_ms = columns / self._options.max_chars_per_s * MS_PER_S
        shown_ms = max(float(self.length_ms(start, end)), least_ms, reading_ms)
        if end < len(self._pieces):  # behind the last word of a run there is a rest
            shown_ms = min(shown_ms, self._pieces[end].start_ms - self._pieces[start].start_ms)
        short = max(0.0, least_ms - shown_ms) / max(1.0, least_ms)
        return TOO_SHORT * short + TOO_DENSE * max(0.0, reading_ms - shown_ms) / max(
            1.0, reading_ms
        )


def _timed(cues: Sequence[Cue], end_ms: int, options: SubtitleOptions) -> list[Cue]:
    """Cues that can be read, in order: first as long as their words ask for, then made to fit."""
    least_ms, most_ms = round(options.min_cue_s * MS_PER_S), round(options.max_cue_s * MS_PER_S)
    wanted = [
        replace(cue, end_ms=cue.start_ms + min(max(1, _wish_ms(cue, options)), most_ms))
        for cue in cues
    ]
    fitted = wanted[:1]
    for cue, spoken in zip(wanted[1:], cues, strict=False):
        meeting = _side_by_side(fitted.pop(), cue, spoken.end_ms, least_ms, most_ms)
        fitted += meeting
    return _within(fitted, end_ms)


def _wish_ms(cue: Cue, options: SubtitleOptions) -> int:
    columns = _columns(cue.pieces) + width(cue.label)
    reading_ms = math.ceil(columns / options.max_chars_per_s * MS_PER_S)
    return max(cue.end_ms - cue.start_ms, reading_ms, round(options.min_cue_s * MS_PER_S))


def _columns(pieces: Sequence[Piece]) -> int:
    """What is to be read, with a space, or the end of a line, between two words."""
    return sum(piece.columns + piece.space for piece in pieces) - pieces[0].space


def _side_by_side(
    before: Cue, after: Cue, spoken_until_ms: int, least_ms: int, most_ms: int
) -> tuple[Cue, Cue]:
    """Two cues that meet: the earlier one leaves when the later comes.

    Where two speak at a time, whose words end at `spoken_until_ms` at the earlier, it stays for
    `least_ms`, or for half of the time that there is for both.
    """
    start_ms = max(after.start_ms, before.start_ms)
    gap_ms = start_ms - before.end_ms
    if gap_ms >= 0:
        longest_ms = before.start_ms + most_ms
        stays = gap_ms < FLICKER_MS and start_ms <= longest_ms
        return replace(before, end_ms=start_ms) if stays else before, after
    if spoken_until_ms > start_ms or start_ms == before.start_ms:
        half_ms = (max(after.end_ms, before.end_ms) - before.start_ms) // 2
        seen_ms = max(1, min(least_ms, half_ms))
        start_ms = max(start_ms, min(before.start_ms + seen_ms, before.end_ms))
    end_ms = after.end_ms + start_ms - after.start_ms
    return replace(before, end_ms=start_ms), replace(after, start_ms=start_ms, end_ms=end_ms)


def _within(cues: Sequence[Cue], end_ms: int) -> list[Cue]:
    """The cues moved back as far as needed to end by `end_ms`, each at least 1 ms long."""
    latest_ms = max(end_ms, len(cues))
    moved: list[Cue] = []
    for cue in reversed(cues):
        stop_ms = min(cue.end_ms, latest_ms)
        start_ms = min(cue.start_ms, stop_ms - 1)
        moved.append(replace(cue, start_ms=start_ms, end_ms=stop_ms))
        latest_ms = start_ms
    return moved[::-1]


def _labelled(cues: Sequence[Cue]) -> Iterator[Cue]:
    """The speaker is told where it is another one than before."""
    speaker: str | None = None
    for cue in cues:
        yield cue if cue.speaker != speaker else replace(cue, label="")
        speaker = cue.speaker


def _room(label: str, n_columns: int, options: SubtitleOptions) -> Room:
    n_words = options.max_words_per_line or math.inf
    return Room(n_columns, options.max_line_count, n_words, width(label))


def _speaker(segment: Segment) -> str | None:
    return " ".join(split(segment.speaker or "")) or None


def _shortened(text: str, max_columns: int) -> str:
    """The text, or as much of it as fits, with an ellipsis; a space at the end stays there."""
    if width(text) <= max_columns:
        return text
    kept = ""
    for cluster in clusters(text):
        if width(kept + cluster) > max_columns - 3:  # the ellipsis, a colon and a space
            break
        kept += cluster
    return f"{kept.rstrip()}…: "


def _usual_width(transcript: Transcript) -> int:
    parts = [part for segment in transcript.segments for part in split(segment.text)]
    n_characters = sum(len(clusters(part)) for part in parts)
    n_columns = sum(map(width, parts))
    return WIDE_LINE_WIDTH if 2 * n_columns > 3 * n_characters else LINE_WIDTH


def _end_ms(transcript: Transcript) -> int:
    ends_s = (segment.end_s for segment in transcript.segments)
    return milliseconds(max((transcript.duration_s, *ends_s)))
