"""Where the cues of one speaker end: of all divisions that fit, the one that reads best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

from granite_mlx.transcript.lines import Room, filled
from granite_mlx.transcript.pieces import MS_PER_S, Piece, break_cost, keep_cost
from granite_mlx.transcript.subtitle_options import SubtitleOptions

# The weights of what makes a division into cues good, against break_cost's 0 to 12.
ONE_MORE = 2.0
FULL = 4.0
TOO_SHORT = 6.0
TOO_DENSE = 4.0


def borders(pieces: Sequence[Piece], room: Room, options: SubtitleOptions) -> list[tuple[int, int]]:
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
