"""Segments as cues: what stands on the screen together, from when to when.

1. Segments become pieces with times, and runs of pieces that one speaker says without a long rest.
2. Each run is divided into cues: of all ways that fit, the one that reads best.
3. The pieces of each cue are laid out in lines.
4. Where several speak at once, each has lines of a cue that they share.
5. Cues stay long enough to be read, one after the other, none over another.

Everything is computed in whole milliseconds, so that what is written is what was checked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from granite_mlx.transcript.characters import clusters, split, width
from granite_mlx.transcript.crosstalk import FLICKER_MS, shared
from granite_mlx.transcript.cue import Cue, Turn
from granite_mlx.transcript.division import borders
from granite_mlx.transcript.lines import Room, balanced_lines
from granite_mlx.transcript.pieces import MS_PER_S, milliseconds
from granite_mlx.transcript.runs import Label, Run, runs
from granite_mlx.transcript.subtitle_options import LINE_WIDTH, WIDE_LINE_WIDTH, SubtitleOptions
from granite_mlx.transcript.types import Transcript

LATE_MS = 1000
"""A cue that is later is shown for less than its least time: half of it at twice this, a third at
three times. So cues of many who talk at once catch up, and do not fall ever further behind."""

LEAST_AT_END_MS = 250
"""What late cues get at the end of the recording, where there is so much time for each."""


def make_cues(transcript: Transcript, options: SubtitleOptions, label: Label) -> tuple[Cue, ...]:
    """The cues of a transcript: ordered, none empty, none over another, all words in them.

    They end with the recording, or, should a segment be said to end later, with that segment.
    """
    n_columns = options.max_line_width or _usual_width(transcript)
    cues: list[Cue] = []
    for run in runs(transcript.segments, n_columns, label):
        cues += _run_cues(run, n_columns, options)
    cues.sort(key=lambda cue: cue.start_ms)  # speakers may talk at the same time
    cues = shared(cues, n_columns, options)
    return tuple(_labelled(_timed(cues, _end_ms(transcript), options)))


def _run_cues(run: Run, n_columns: int, options: SubtitleOptions) -> Iterator[Cue]:
    room = Room.of(options, n_columns, options.max_line_count, run.label)
    for start, end in borders(run.pieces, room, options):
        pieces = run.pieces[start:end]
        end_ms = max(piece.end_ms for piece in pieces)
        turn = Turn(run.speaker, run.label, balanced_lines(pieces, room))
        yield Cue(pieces[0].start_ms, end_ms, (turn,))


def _timed(cues: Sequence[Cue], end_ms: int, options: SubtitleOptions) -> list[Cue]:
    """Cues that can be read, in order: first as long as their words ask for, then made to fit."""
    least_ms, most_ms = round(options.min_cue_s * MS_PER_S), round(options.max_cue_s * MS_PER_S)
    wanted = [
        replace(cue, end_ms=cue.start_ms + min(max(1, _wish_ms(cue, options)), most_ms))
        for cue in cues
    ]
    fitted = wanted[:1]
    for cue, spoken in zip(wanted[1:], cues, strict=False):
        late_ms = fitted[-1].start_ms - spoken.start_ms
        seen_ms = round(least_ms / max(1, late_ms / LATE_MS))
        meeting = _side_by_side(fitted.pop(), cue, spoken.end_ms, seen_ms, most_ms)
        fitted += meeting
    all_late_ms = [one.start_ms - cue.start_ms for one, cue in zip(fitted, cues, strict=True)]
    return _within(fitted, all_late_ms, end_ms)


def _wish_ms(cue: Cue, options: SubtitleOptions) -> int:
    reading_ms = math.ceil(cue.columns / options.max_chars_per_s * MS_PER_S)
    return max(cue.end_ms - cue.start_ms, reading_ms, round(options.min_cue_s * MS_PER_S))


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


def _within(cues: Sequence[Cue], late_ms: Sequence[int], end_ms: int) -> list[Cue]:
    """The cues moved back as far as needed to end by `end_ms`, each at least 1 ms long.

    Those that are late had better last longer, but none begins before its words for that.
    """
    latest_ms = max(end_ms, len(cues))
    usual_ms = max(1, min(LEAST_AT_END_MS, end_ms // max(1, len(cues))))
    moved: list[Cue] = []
    for cue, late in zip(reversed(cues), reversed(late_ms), strict=True):
        stop_ms = min(cue.end_ms, latest_ms)
        least_ms = max(1, min(usual_ms, cue.end_ms - cue.start_ms, late))
        start_ms = min(cue.start_ms, stop_ms - least_ms)
        moved.append(replace(cue, start_ms=start_ms, end_ms=stop_ms))
        latest_ms = start_ms
    return moved[::-1]


def _labelled(cues: Sequence[Cue]) -> Iterator[Cue]:
    """The speaker is told where it is another one than before; who share a cue, always."""
    speakers: tuple[str | None, ...] = (None,)
    for cue in cues:
        if len(cue.turns) == 1 and cue.speakers == speakers:
            yield replace(cue, turns=(replace(cue.turns[0], label=""),))
        else:
            yield cue
        speakers = cue.speakers


def _usual_width(transcript: Transcript) -> int:
    parts = [part for segment in transcript.segments for part in split(segment.text)]
    n_characters = sum(len(clusters(part)) for part in parts)
    n_columns = sum(map(width, parts))
    return WIDE_LINE_WIDTH if 2 * n_columns > 3 * n_characters else LINE_WIDTH


def _end_ms(transcript: Transcript) -> int:
    ends_s = (segment.end_s for segment in transcript.segments)
    return milliseconds(max((transcript.duration_s, *ends_s)))
