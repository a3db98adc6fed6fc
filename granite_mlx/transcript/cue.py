"""A cue: what stands on the screen at one time, and whose words they are."""

from __future__ import annotations

from dataclasses import dataclass

from granite_mlx.transcript.characters import width
from granite_mlx.transcript.lines import Lines
from granite_mlx.transcript.pieces import Piece


@dataclass(frozen=True)
class Turn:
    """The lines of one speaker; `label`, if there is any, stands in front of the first one."""

    speaker: str | None
    label: str
    lines: Lines

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces of all lines, in order."""
        return tuple(piece for line in self.lines for piece in line)

    @property
    def columns(self) -> int:
        """What is to be read, with a space, or the end of a line, between two words."""
        pieces = self.pieces
        columns = sum(piece.columns + piece.space for piece in pieces) - pieces[0].space
        return columns + width(self.label)


@dataclass(frozen=True)
class Cue:
    """What is shown from `start_ms` to `end_ms`: a turn, or those of several who speak at once."""

    start_ms: int
    end_ms: int
    turns: tuple[Turn, ...]

    @property
    def speakers(self) -> tuple[str | None, ...]:
        """Who speaks, in the order of the turns."""
        return tuple(turn.speaker for turn in self.turns)

    @property
    def lines(self) -> Lines:
        """The lines of all turns."""
        return tuple(line for turn in self.turns for line in turn.lines)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces of all lines, as they are shown."""
        return tuple(piece for turn in self.turns for piece in turn.pieces)

    @property
    def columns(self) -> int:
        """What is to be read of all turns."""
        return sum(turn.columns for turn in self.turns)
