"""What a live session tells, in the order in which it becomes known.

A turn is what is said between two pauses, or between two commits. It starts, stops, gets drafts
that may change and final segments that never do, and is done:

    TurnStarted   Draft*   TurnStopped   Draft*   Final*   TurnDone

Turns are done in order. The next one may start before the last one is done. Times are seconds from
the session's first sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from granite_mlx.transcript import Segment, TranscriptWarning


@dataclass(frozen=True)
class TurnStarted:
    """Somebody speaks. `turn` counts from 0."""

    turn: int
    at_s: float


@dataclass(frozen=True)
class TurnStopped:
    """Nothing behind `at_s` belongs to the turn."""

    turn: int
    at_s: float


@dataclass(frozen=True)
class Draft:
    """What the turn's text seems to be so far, final segments left out; each replaces the last.

    It is what the encoder's character head hears: without punctuation, in the spoken language
    also where a translation is asked for, and empty where the head has no letters (Japanese).
    """

    turn: int
    text: str


@dataclass(frozen=True)
class Final:
    """The segments of a stretch of the turn: they never change, and take the draft's place.

    Attributes:
        segments: none where nothing was said after all.
        warnings: what there is to say about them.
        error: why the stretch could not be transcribed.
    """

    turn: int
    start_s: float
    end_s: float
    segments: tuple[Segment, ...]
    warnings: tuple[TranscriptWarning, ...] = ()
    error: Exception | None = None

    @property
    def text(self) -> str:
        """The segments' text, joined by spaces."""
        return " ".join(one.text for one in self.segments if one.text)


@dataclass(frozen=True)
class TurnDone:
    """All of the turn is final, or it was cleared before it stopped, and there is nothing of it."""

    turn: int
    is_cleared: bool = False


Event: TypeAlias = TurnStarted | TurnStopped | Draft | Final | TurnDone
