"""Blocks of samples -> pieces that end where somebody pauses, with a bounded look-ahead.

Each decision sees the greatest length and a long pause ahead, so the pieces are the same whatever
the blocks. Energy decides first. Where it finds no pause, or a long steady sound, the encoder's
character head is asked; where that finds no pause either, two pieces overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from granite_mlx.audio.stream import SAMPLE_RATE
from granite_mlx.segments.activity import (
    CONTEXT_FRAMES,
    FRAMES_PER_S,
    HOP_SAMPLES,
    Activity,
    Levels,
    activity,
    runs,
)
from granite_mlx.segments.cuts import PAD_FRAMES, Cut, first_cut, frame_limits
from granite_mlx.segments.joining import Seam
from granite_mlx.segments.letters import NO_LETTERS, Letters
from granite_mlx.segments.limits import SegmentLimits

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Hear: TypeAlias = Callable[[Array], Letters]
"""(n,) samples -> what the character head hears of them."""

FEWEST_SAMPLES = 4 * HOP_SAMPLES
"""Less holds no letter, and is too short for the features."""

OVERLAP_SHARE, LONGEST_OVERLAP_S = 1 / 4, 3.0
"""Of the greatest length, what two pieces share: a few words."""


@dataclass(frozen=True)
class Piece:
    """Samples that are heard at once.

    Attributes:
        start: of the first one, counted from the first that the splitter was given.
        samples: (n,) float32 at 16 kHz.
        seam: how the piece overlaps the one before it; None where it does not.
        joined_on: whether the next one overlaps this one.
    """

    start: int
    samples: Array
    seam: Seam | None = None
    joined_on: bool = False

    @property
    def overlaps(self) -> bool:
        """Whether it shares samples with another one."""
        return self.joined_on or self.seam is not None

    @property
    def end(self) -> int:
        """Behind the last sample."""
        return self.start + len(self.samples)


class Splitter:
    """Takes the samples of one channel as they come and gives the pieces that are complete.

    Args:
        overlaps: whether pieces may overlap; a translation cannot be joined.
    """

    def __init__(
        self, limits: SegmentLimits, hear: Hear, *, start: int = 0, overlaps: bool = True
    ) -> None:
        self._limits, self._hear, self._overlaps = frame_limits(limits), hear, overlaps
        half_s = min(OVERLAP_SHARE * limits.greatest_s, LONGEST_OVERLAP_S) / 2
        self._half_overlap = int(half_s * FRAMES_PER_S)
        look_ahead_s = limits.greatest_s + limits.long_pause_s
        self._n_wanted = int(look_ahead_s * SAMPLE_RATE)
        self._meter = Levels()
        self._waiting: list[Array] = []
        self._n_waiting = 0
        self._samples: Array = np.empty(0, np.float32)
        self._levels: Array = np.empty(0, np.float32)  # of those samples, nearly
        self._history: Array = np.empty(0, np.float32)  # of what was before
        self._start, self._origin = start, start
        self._seam: Seam | None = None

    @property
    def position(self) -> int:
        """No later piece begins before this sample."""
        return self._start

    def push(self, samples: Array) -> Iterator[Piece]:
        """The pieces that (n,) more samples complete."""
        self._waiting.append(samples)
        self._n_waiting += len(samples)
        while len(self._samples) + self._n_waiting >= self._n_wanted:
            yield from self._step(is_end=False)

    def finish(self) -> Iterator[Piece]:
        """The last pieces; the splitter is empty then.

        What is short and all there is comes as it is, the silence around it included.
        """
        self._fetch()
        if self._is_one_piece():
            if len(self._samples):
                yield Piece(self._start, self._samples)
            self._drop(len(self._samples))
            return
        while len(self._samples):
            yield from self._step(is_end=True)

    def _is_one_piece(self) -> bool:
        """Whether all is short, and nobody pauses for long in it."""
        if self._start > self._origin or len(self._levels) > self._limits.greatest:
            return False
        starts, ends = runs(activity(self._levels, 0).sounds)
        return not (starts[1:] - ends[:-1] >= self._limits.long_pause).any()

    def _step(self, is_end: bool) -> Iterator[Piece]:
        """Decide about the first samples."""
        self._fetch()
        if not len(self._levels):  # less than a frame
            self._drop(len(self._samples))
            return
        levels = np.concatenate([self._history, self._levels])
        found = activity(levels, len(self._history))
        cut = first_cut(found.sounds, self._limits, is_end)
        if cut is not None and not cut.is_piece and found.maybe[: cut.n_done].any():
            cut = self._with_soft_speech(found, cut, is_end)
        if cut is None:
            yield from self._without_a_pause(found, is_end)
        else:
            yield from self._take(cut, is_end)

    def _with_soft_speech(self, found: Activity, silence: Cut, is_end: bool) -> Cut | None:
        """The decision again where what would be dropped may be speech after all."""
        n_heard = min(silence.n_done + PAD_FRAMES, self._limits.greatest)
        heard = self._listen(n_heard).sounds(len(found.sounds))
        sounds = found.sounds | (heard & ~found.steady)
        again = first_cut(sounds, self._limits, is_end)
        # What was not listened to is not dropped.
        if again is not None and not again.is_piece and silence.n_done > self._limits.greatest:
            return Cut(min(again.n_done, self._limits.greatest - PAD_FRAMES))
        return again

    def _without_a_pause(self, found: Activity, is_end: bool) -> Iterator[Piece]:
        """Where energy finds no pause, the character head may; else two pieces overlap."""
        n = len(self._levels)
        n_heard = min(n, self._limits.greatest + self._half_overlap)
        letters = self._listen(n_heard)
        is_all = is_end and n_heard == n
        said = letters.sounds(n_heard) & ~found.steady[:n_heard]
        cut = first_cut(said, self._limits, is_all)
        if cut is not None and (cut.is_piece or cut.n_done > PAD_FRAMES):
            yield from self._take(cut, is_all)
            return
        half = self._half_overlap
        left, right = letters.gap(self._limits.earliest, self._limits.latest)
        middle = self._quietest(left, right)
        before = letters.text(middle - half, middle).strip()
        after = letters.text(middle, middle + half).strip()
        if self._overlaps and before and after:
            piece = self._piece(0, middle + half, joined_on=True)
            self._seam = Seam(before, after, self._sample(middle), self._sample(middle + half))
            self._drop((middle - half) * HOP_SAMPLES)
            yield piece
        else:
            yield from self._take(Cut(middle, 0, middle), is_end=False)

    def _take(self, cut: Cut, is_end: bool) -> Iterator[Piece]:
        is_last = is_end and cut.n_done >= len(self._levels)
        if cut.is_piece:
            yield self._piece(cut.start, cut.end, to_the_end=is_last)
        self._drop(len(self._samples) if is_last else cut.n_done * HOP_SAMPLES)

    def _piece(
        self, start: int, end: int, *, joined_on: bool = False, to_the_end: bool = False
    ) -> Piece:
        # What is left of a frame at the end belongs to a piece that goes so far.
        until = len(self._samples) if to_the_end and end >= len(self._levels) else end * HOP_SAMPLES
        seam, self._seam = self._seam, None
        return Piece(
            self._sample(start), self._samples[start * HOP_SAMPLES : until].copy(), seam, joined_on
        )

    def _sample(self, frame: int) -> int:
        return self._start + frame * HOP_SAMPLES

    def _quietest(self, left: int, right: int) -> int:
        """The quietest frame in the middle half of a gap between letters."""
        quarter = (right - left) // 4
        first, last = left + quarter, max(right - quarter, left + quarter + 1)
        return first + int(np.argmin(self._levels[first:last]))

    def _listen(self, n_frames: int) -> Letters:
        samples = self._samples[: n_frames * HOP_SAMPLES]
        return self._hear(samples) if len(samples) >= FEWEST_SAMPLES else NO_LETTERS

    def _fetch(self) -> None:
        """Take what is waiting."""
        if self._waiting:
            new = np.concatenate(self._waiting)
            self._waiting, self._n_waiting = [], 0
            self._samples = np.concatenate([self._samples, new])
            self._levels = np.concatenate([self._levels, self._meter.push(new)])

    def _drop(self, n_samples: int) -> None:
        """Be done with the first samples. What they sounded like tells the floor of others."""
        n_frames = n_samples // HOP_SAMPLES
        self._history = np.concatenate([self._history, self._levels[:n_frames]])[-CONTEXT_FRAMES:]
        self._levels = self._levels[n_frames:]
        self._samples = self._samples[n_samples:]
        self._start += n_samples
