"""Samples as they come -> pieces, each as soon as its end is known.

A recording's splitter looks a whole piece ahead. Somebody who waits cannot: here a pause ends a
piece as soon as it has lasted long enough. Where nobody pauses, the rules are the recording's own,
overlapping pieces included. Decisions fall every 0.1 s of audio, whatever the chunks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from granite_mlx.segments.activity import FRAMES_PER_S, HOP_SAMPLES, Activity, activity, runs
from granite_mlx.segments.cuts import LEAD_FRAMES, Cut, opening, pause_cut
from granite_mlx.segments.limits import SegmentLimits
from granite_mlx.segments.splitter import Hear, Piece, Splitter

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

TICK_SAMPLES = 10 * HOP_SAMPLES

LIVE_LEAST_S = 0.5
"""Somebody waits for a short answer, too: it does not go on over a pause, as in a recording."""

SOFT_FRAMES = 3 * FRAMES_PER_S // 2
"""So much of what may be soft speech is waited for before the character head is asked."""


def live_limits(limits: SegmentLimits, pause_s: float | None = None) -> SegmentLimits:
    """Limits of turns that end at pauses, from those of recordings; `pause_s` None keeps theirs."""
    pause_s = limits.pause_s if pause_s is None else pause_s
    return SegmentLimits(min(limits.least_s, LIVE_LEAST_S), limits.greatest_s, pause_s)


@dataclass(frozen=True, eq=False)
class OpenPiece:
    """What will be the next piece, as far as it has come.

    Attributes:
        start: of the first sample, as a piece's.
        samples: (n,) so far.
        seam: the sample from which on the text is its own, where it overlaps the piece before.
    """

    start: int
    samples: Array
    seam: int


class CommitSplitter(Splitter):
    """A recording's splitter, whose end is where somebody commits what was said."""

    @property
    def n_until_decision(self) -> int:
        """Samples that the next decision waits for, at most."""
        return TICK_SAMPLES

    @property
    def seam_at(self) -> int | None:
        """Where the next piece takes over from the last one, if they overlap."""
        return None if self._seam is None else self._seam.at

    @property
    def open(self) -> OpenPiece | None:
        """All that no piece holds so far."""
        self._fetch()
        return self._open_from(0) if len(self._samples) else None

    def _open_from(self, frame: int) -> OpenPiece:
        start, at = self._sample(frame), self.seam_at
        samples = self._samples[frame * HOP_SAMPLES :]
        return OpenPiece(start, samples, start if at is None else at)


class PauseSplitter(CommitSplitter):
    """Ends a piece also as soon as there is a pause behind it."""

    def __init__(
        self, limits: SegmentLimits, hear: Hear, *, start: int = 0, overlaps: bool = True
    ) -> None:
        super().__init__(limits, hear, start=start, overlaps=overlaps)
        self._n_since_tick = 0
        self._opening: int | None = None
        self._heard: Array = np.zeros(0, bool)  # of the first frames, those with soft letters

    @property
    def open(self) -> OpenPiece | None:
        """What is being said; None while nobody speaks."""
        return None if self._opening is None else self._open_from(self._opening)

    @property
    def n_until_decision(self) -> int:
        return TICK_SAMPLES - self._n_since_tick

    def push(self, samples: Array) -> Iterator[Piece]:
        """The pieces that (n,) more samples complete."""
        while len(samples):
            n_now = min(len(samples), self.n_until_decision)
            self._waiting.append(samples[:n_now])
            self._n_waiting += n_now
            self._n_since_tick = (self._n_since_tick + n_now) % TICK_SAMPLES
            samples = samples[n_now:]
            if not self._n_since_tick:
                yield from self._tick()

    def _tick(self) -> Iterator[Piece]:
        self._fetch()
        while True:
            if len(self._samples) >= self._n_wanted:
                yield from self._step(is_end=False)
            elif (cut := self._cut()) is not None:
                yield from self._take(cut, is_end=False)
            else:
                return

    def _cut(self) -> Cut | None:
        """What can be decided; where nothing can, the open piece is known afterwards."""
        self._opening = None
        found = activity(np.concatenate([self._history, self._levels]), len(self._history))
        cut, sounds = self._by_pauses(found)
        if cut is not None and self._may_be_soft(found, cut):
            if not cut.is_piece and cut.n_done + LEAD_FRAMES >= len(sounds) < SOFT_FRAMES:
                return None
            self._hear_soft()
            cut, sounds = self._by_pauses(found)
        if cut is None:
            self._opening = opening(runs(sounds)[0])
        elif not cut.is_piece and len(sounds) <= LEAD_FRAMES:
            return None  # it may be the silence before speech
        return cut

    def _by_pauses(self, found: Activity) -> tuple[Cut | None, Array]:
        """The decision, and the frames in which something is said."""
        n_heard = min(len(self._heard), len(found.sounds))
        sounds = found.sounds.copy()
        sounds[:n_heard] |= self._heard[:n_heard] & ~found.steady[:n_heard]
        return pause_cut(sounds, self._limits, is_end=False), sounds

    def _may_be_soft(self, found: Activity, cut: Cut) -> bool:
        """Whether soft speech that the character head has not been asked about would be lost."""
        if cut.is_piece and found.sounds[: cut.end].any():
            return False
        until = len(found.maybe) if cut.is_piece else cut.n_done
        return bool(found.maybe[len(self._heard) : until].any())

    def _hear_soft(self) -> None:
        n_frames = min(len(self._levels), self._limits.greatest)
        heard = self._listen(n_frames).sounds(len(self._levels))
        heard[n_frames:] = False
        self._heard = heard

    def _drop(self, n_samples: int) -> None:
        self._heard = self._heard[n_samples // HOP_SAMPLES :]
        self._opening = None
        super()._drop(n_samples)
