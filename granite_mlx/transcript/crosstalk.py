"""Cues of several who speak at once, as broadcasters show them: a line of each, behind a dash.

1. Cues of two speakers that are said at once, or so soon one after the other that the first could
   not be seen, make a group, with all that meet these.
2. What each speaker says in a group is divided into rows: a line each, broken where it reads best.
3. Rows of all speakers, by when they begin, are put into cues: of all ways, the one that is nearest
   to what is said and leaves time to read.

So nobody has to wait for the other, and what is shown does not fall behind what is said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from granite_mlx.transcript.cue import Cue, Turn
from granite_mlx.transcript.division import ONE_MORE, TOO_DENSE, TOO_SHORT, borders
from granite_mlx.transcript.lines import Room, balanced_lines
from granite_mlx.transcript.pieces import MS_PER_S, Piece, keep_cost
from granite_mlx.transcript.runs import REST_MS, following, parts_between_rests
from granite_mlx.transcript.subtitle_options import SubtitleOptions

DASH = "- "
ROW = 2  # how many times the least time of a cue a row had better last: it shares its cue
FLICKER_MS = 250  # a gap that is shorter looks like a fault: the cue before stays

EARLY = 1.0  # the cost of a second that a row is shown before it is said
GONE = 1.0  # of a second that is still to be said when the cue leaves


def shared(cues: Sequence[Cue], n_columns: int, options: SubtitleOptions) -> list[Cue]:
    """The cues, those that are said at once made anew; all in order of their first words.

    Args:
        cues: of one speaker each, in that order, with the times of their words.
    """
    if options.max_line_count == 1:
        return list(cues)
    made: list[Cue] = []
    for group in _groups(cues, options.min_cue_s * MS_PER_S):
        rows = [] if len(group) == 1 else _rows(group, n_columns, options)
        made += _cues(rows, n_columns, options) if rows else group
    return sorted(made, key=lambda cue: cue.start_ms)


@dataclass(frozen=True)
class _Row:
    """A line of one speaker; `label` is the speaker's, without a dash."""

    speaker: str | None
    label: str
    pieces: tuple[Piece, ...]

    @property
    def start_ms(self) -> int:
        return self.pieces[0].start_ms

    @property
    def end_ms(self) -> int:
        return max(piece.end_ms for piece in self.pieces)


def _groups(cues: Sequence[Cue], least_ms: float) -> Iterator[list[Cue]]:
    group: list[Cue] = []
    for cue in cues:
        if group and not any(_meet(one, cue, least_ms) for one in reversed(group)):
            yield group
            group = []
        group.append(cue)
    if group:
        yield group


def _meet(before: Cue, after: Cue, least_ms: float) -> bool:
    """Whether two speak at once for longer than a moment, or so soon that the first is not seen."""
    both_ms = min(before.end_ms, after.end_ms) - after.start_ms
    inside = after.start_ms < before.end_ms and after.end_ms <= before.end_ms
    soon = after.start_ms - before.start_ms < least_ms
    return before.speakers != after.speakers and (both_ms >= FLICKER_MS or inside or soon)


def _rows(group: Sequence[Cue], n_columns: int, options: SubtitleOptions) -> list[_Row]:
    """The rows of all speakers by when they begin; none where a word has no room beside a dash."""
    rows: list[_Row] = []
    slow = replace(options, min_cue_s=min(ROW * options.min_cue_s, options.max_cue_s))
    for speaker in dict.fromkeys(cue.speakers for cue in group):
        turns = [cue.turns[0] for cue in group if cue.speakers == speaker]
        pieces: list[Piece] = []
        for turn in turns:
            pieces += following(pieces, turn.pieces)
        room = Room.of(options, n_columns, 1, DASH + turns[0].label)
        if any(piece.columns > room.capacity for piece in pieces):
            return []
        for part in parts_between_rests(pieces):
            rows += [
                _Row(turns[0].speaker, turns[0].label, part[start:end])
                for start, end in borders(part, room, slow)
            ]
    return sorted(rows, key=lambda row: row.start_ms)


def _cues(rows: Sequence[_Row], n_columns: int, options: SubtitleOptions) -> list[Cue]:
    """The cheapest cues: best[k] is the cost of those that end before row k."""
    best = [0.0, *(math.inf for _ in rows)]
    begins = [0] * (len(rows) + 1)
    for start in range(len(rows)):
        for end in _ends(rows, start, options):
            cost = best[start] + _cost(rows, start, end, options)
            if cost < best[end]:
                best[end], begins[end] = cost, start
    cues = []
    end = len(rows)
    while end > 0:
        cues.append(_cue(rows[begins[end] : end], n_columns, options))
        end = begins[end]
    return cues[::-1]


def _ends(rows: Sequence[_Row], start: int, options: SubtitleOptions) -> Iterator[int]:
    """Every `end` for which rows[start:end] may share a cue; at least start + 1."""
    until_ms = rows[start].end_ms
    yield start + 1
    for end in range(start + 2, min(start + options.max_line_count, len(rows)) + 1):
        row = rows[end - 1]
        rests = row.start_ms - until_ms >= REST_MS
        until_ms = max(until_ms, row.end_ms)
        if rests or until_ms - rows[start].start_ms > options.max_cue_s * MS_PER_S:
            return
        yield end


def _cost(rows: Sequence[_Row], start: int, end: int, options: SubtitleOptions) -> float:
    """What a cue of rows[start:end] costs the reader."""
    inside = rows[start:end]
    start_ms = inside[0].start_ms
    until_ms = rows[end].start_ms if end < len(rows) else math.inf
    least_ms = options.min_cue_s * MS_PER_S
    columns = sum(_turn(row).columns for row in inside)
    reading_ms = columns / options.max_chars_per_s * MS_PER_S
    wanted_ms = max(least_ms, reading_ms, *(row.end_ms - start_ms for row in inside))
    shown_ms = min(wanted_ms, until_ms - start_ms)
    early_ms = sum(row.start_ms - start_ms for row in inside)
    gone_ms = sum(max(0.0, row.end_ms - until_ms) for row in inside)
    kept = sum(
        keep_cost(before.pieces[-1], after.pieces[0])
        for before, after in pairwise(inside)
        if before.speaker == after.speaker
    )
    return (
        ONE_MORE
        + TOO_SHORT * max(0.0, least_ms - shown_ms) / max(1.0, least_ms)
        + TOO_DENSE * max(0.0, reading_ms - shown_ms) / max(1.0, reading_ms)
        + (EARLY * early_ms + GONE * gone_ms) / MS_PER_S
        + kept
    )


def _turn(*rows: _Row) -> Turn:
    """The rows of one speaker, behind a dash."""
    return Turn(rows[0].speaker, DASH + rows[0].label, tuple(row.pieces for row in rows))


def _cue(rows: Sequence[_Row], n_columns: int, options: SubtitleOptions) -> Cue:
    first = rows[0]
    speakers = dict.fromkeys(row.speaker for row in rows)
    turns = tuple(_turn(*(row for row in rows if row.speaker == one)) for one in speakers)
    if len(turns) == 1:
        room = Room.of(options, n_columns, options.max_line_count, first.label)
        turns = (Turn(first.speaker, first.label, balanced_lines(turns[0].pieces, room)),)
    return Cue(first.start_ms, max(row.end_ms for row in rows), turns)
