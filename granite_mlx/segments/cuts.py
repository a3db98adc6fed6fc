"""Where to cut what sounds: pure functions of frames of 10 ms.

What "sounds" are frames that are active by energy, or in which the character head hears letters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from granite_mlx.segments.activity import FRAMES_PER_S, runs
from granite_mlx.segments.limits import SegmentLimits

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

LEAD_FRAMES, PAD_FRAMES = 16, 30
"""Silence that stays before and behind speech: a soft beginning, an end that dies away."""

GAP_FRAMES = 20
"""A gap within speech that is surely none within a sound: stops close for 0.1 s at most."""

EARLIEST_CUT, LATEST_CUT = 1 / 3, 2 / 3
"""Of the greatest length, where a segment without a pause ends, if it can."""


@dataclass(frozen=True)
class Cut:
    """What becomes of the frames from 0 to `n_done`: a piece [start, end), or nothing."""

    n_done: int
    start: int = 0
    end: int = 0

    @property
    def is_piece(self) -> bool:
        """Whether there is something to hear."""
        return self.end > self.start


@dataclass(frozen=True)
class FrameLimits:
    """`SegmentLimits` in frames."""

    least: int
    greatest: int
    pause: int
    long_pause: int

    @property
    def earliest(self) -> int:
        """Where a segment without a pause may end first."""
        return max(self.least, round(EARLIEST_CUT * self.greatest))

    @property
    def latest(self) -> int:
        """Where it should have ended."""
        return max(self.earliest + 1, round(LATEST_CUT * self.greatest))


def frame_limits(limits: SegmentLimits) -> FrameLimits:
    """Seconds to frames."""
    lengths = (limits.least_s, limits.greatest_s, limits.pause_s, limits.long_pause_s)
    return FrameLimits(*(int(FRAMES_PER_S * length_s) for length_s in lengths))


def first_cut(sounds: Array, limits: FrameLimits, is_end: bool) -> Cut | None:
    """The first piece, or the silence before it; None where nobody pauses.

    Args:
        sounds: (n,) bool; unless `is_end`, more than the greatest length and a long pause.
        is_end: the recording ends behind these frames.
    """
    return pause_cut(sounds, limits, is_end) or _in_a_short_gap(sounds, limits)


def pause_cut(sounds: Array, limits: FrameLimits, is_end: bool) -> Cut | None:
    """The same by pauses alone, which may be asked about any number of frames."""
    n = len(sounds)
    starts, ends = runs(sounds)
    if not len(starts):
        return Cut(n if is_end else max(1, n - LEAD_FRAMES))
    start = opening(starts)
    if start > PAD_FRAMES:
        return Cut(start)
    for left, right in _gaps(starts, ends, n, limits):
        wanted = limits.pause if left - start >= limits.least else limits.long_pause
        if right - left >= wanted or (is_end and right == n):
            end = min(left + min(PAD_FRAMES, (right - left + 1) // 2), start + limits.greatest)
            return Cut(end, start, end)
    return None


def opening(starts: Array) -> int:
    """Where a piece begins, from where sounds start; there has to be one."""
    return max(0, int(starts[0]) - LEAD_FRAMES)


def _gaps(starts: Array, ends: Array, n: int, limits: FrameLimits) -> list[tuple[int, int]]:
    """Those that begin within the greatest length, the one at the end included."""
    start = opening(starts)
    return [
        (int(end), int(following))
        for end, following in zip(ends, [*starts[1:], n], strict=True)
        if end - start <= limits.greatest
    ]


def _in_a_short_gap(sounds: Array, limits: FrameLimits) -> Cut | None:
    """A cut in the longest gap that is long enough, the last of those, rather not too late."""
    starts, ends = runs(sounds)
    start = opening(starts)
    gaps = _gaps(starts, ends, len(sounds), limits)
    wide = [(right - left, (left + right) // 2) for left, right in gaps]
    for latest in (limits.latest, limits.greatest):
        inside = [
            (length, middle)
            for length, middle in wide
            if length >= GAP_FRAMES and limits.earliest <= middle - start <= latest
        ]
        if inside:
            middle = max(inside)[1]
            return Cut(middle, start, middle)
    return None
