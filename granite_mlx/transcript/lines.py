"""Pieces as lines: how much fits, and which breaks read best."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from granite_mlx.transcript.characters import width
from granite_mlx.transcript.pieces import Piece, break_cost
from granite_mlx.transcript.subtitle_options import SubtitleOptions

RAGGED = 12.0  # what a line that is a whole line off the mean costs, against break_cost's 0 to 12
TOP_HEAVY = 1.0

Lines = tuple[tuple[Piece, ...], ...]


@dataclass(frozen=True)
class Room:
    """What a cue can hold: lines of so many columns and words, the first beside a speaker's name.

    `n_label_columns` is what the name takes; every piece has to fit beside it.
    """

    n_columns: int
    n_lines: int
    n_words: float
    n_label_columns: int = 0

    @classmethod
    def of(cls, options: SubtitleOptions, n_columns: int, n_lines: int, label: str) -> Room:
        """The room of so many lines behind a label."""
        return cls(n_columns, n_lines, options.max_words_per_line or math.inf, width(label))

    @property
    def capacity(self) -> int:
        """All columns that a cue has for its words."""
        return self.n_columns * self.n_lines - self.n_label_columns

    def used_before(self, line: int) -> int:
        """The columns of a line that are taken before its first piece."""
        return self.n_label_columns if line == 0 else 0


def filled(pieces: Sequence[Piece], start: int, room: Room) -> Iterator[int]:
    """Every `end` for which pieces[start:end] fit into one cue, in order; at least start + 1."""
    line, columns, n_words, word = 0, room.used_before(0), 0, -1
    for index in range(start, len(pieces)):
        piece = pieces[index]
        new_word = piece.word != word
        wider = columns + piece.columns + (piece.space and n_words > 0)
        if n_words and (wider > room.n_columns or n_words + new_word > room.n_words):
            line += 1
            if line == room.n_lines:
                return
            columns, n_words = piece.columns, 1
        else:
            columns, n_words = wider, n_words + new_word
        word = piece.word
        yield index + 1


def balanced_lines(pieces: Sequence[Piece], room: Room) -> Lines:
    """The pieces of one cue in as few lines as can be, of like width, broken where it reads best.

    The best of all ways, by dynamic programming: best[k] is the cost of the lines so far that end
    before piece k, and the places where they begin.
    """
    n_lines = _fewest_lines(pieces, room)
    total = sum(piece.columns + piece.space for piece in pieces) + room.n_label_columns
    mean = total / n_lines
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    for line in range(n_lines):
        longer: dict[int, tuple[float, tuple[int, ...]]] = {}
        for start, (cost_so_far, starts) in best.items():
            for end, columns in _line_ends(pieces, start, line, room):
                cost = cost_so_far + _line_cost(columns, mean, room, is_last=end == len(pieces))
                if end < len(pieces):
                    cost += break_cost(pieces[end - 1], pieces[end])
                if cost < longer.get(end, (math.inf, ()))[0]:
                    longer[end] = cost, (*starts, start)
        best = longer
    starts = (*best[len(pieces)][1], len(pieces))
    return tuple(tuple(pieces[start:end]) for start, end in pairwise(starts))


def line_text(line: Sequence[Piece]) -> str:
    """A line as it is shown, without markup."""
    return "".join(
        f" {piece.text}" if piece.space and i else piece.text for i, piece in enumerate(line)
    )


def _fewest_lines(pieces: Sequence[Piece], room: Room) -> int:
    n_lines, start = 0, 0
    while start < len(pieces):
        *_, (start, _) = _line_ends(pieces, start, n_lines, room)
        n_lines += 1
    return n_lines


def _line_ends(
    pieces: Sequence[Piece], start: int, line: int, room: Room
) -> Iterator[tuple[int, int]]:
    """(end, columns) of every line that begins at `start`."""
    columns = room.used_before(line)
    n_words, word = 0, -1
    for index in range(start, len(pieces)):
        piece = pieces[index]
        columns += piece.columns + (piece.space and index > start)
        n_words += piece.word != word
        if index > start and (columns > room.n_columns or n_words > room.n_words):
            return
        word = piece.word
        yield index + 1, columns


def _line_cost(columns: int, mean: float, room: Room, *, is_last: bool) -> float:
    """Lines of like width are read best, and a longer one covers less of the picture below."""
    off = (columns - mean) / room.n_columns
    return RAGGED * off * off + (TOP_HEAVY * max(0.0, off) if not is_last else 0.0)
