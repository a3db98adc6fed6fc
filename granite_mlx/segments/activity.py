"""Where something is said, as far as energy tells: levels of 10 ms frames.

A first difference takes away what is no speech below 100 Hz (a constant, hum, rumble) and favours
the weak high sounds. Speech is loud for its surroundings and never steady: a second of it goes up
and down by 5 dB and more, a second of noise or of a tone does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

HOP_SAMPLES = 160
FRAMES_PER_S = 100

EMPHASIS = 0.97
LOWEST_DB = -100.0

CONTEXT_FRAMES = 30 * FRAMES_PER_S
"""What was heard before that the floor is measured on."""

FLOOR_PERCENTILE = 10.0
PEAK_PERCENTILE = 99.5
"""In 30 s, the loudest 0.15 s: more than a click."""

ABOVE_FLOOR_DB = 6.0
BELOW_PEAK_DB = 30.0
"""What is softer than that is a pause, if it lasts: the ends of words are softer, and short."""

SOFTEST_BELOW_PEAK_DB = 50.0
SILENT_DB = -85.0
"""What is softer than either is no speech, however it goes up and down."""

STEADY_FRAMES, STEADY_DB = 1 * FRAMES_PER_S, 1.5
"""A second whose levels deviate by less: noise or a tone, with speech at most as loud in it."""

CLICK_FRAMES = 6
"""What is shorter and stands alone is no speech: a knock, a key, the click of a switch."""
ALONE_FRAMES = 30


@dataclass(frozen=True)
class Activity:
    """Of each frame, whether it sounds like speech, and whether it may be soft speech."""

    sounds: Array  # (n,) bool
    maybe: Array  # (n,) bool; where it sounds, too
    steady: Array  # (n,) bool


class Levels:
    """Samples to levels in dB, block by block: it remembers the last sample and part of a frame."""

    def __init__(self) -> None:
        self._rest: Array = np.empty(0, np.float32)
        self._last: float | None = None

    def push(self, samples: Array) -> Array:
        """(n,) samples -> the levels of the frames that they complete."""
        if not len(samples):
            return np.empty(0, np.float32)
        # The first sample has none before it: a constant must not begin with a click.
        last = float(samples[0]) if self._last is None else self._last
        self._last = float(samples[-1])
        before = np.concatenate([np.array([last], np.float32), samples[:-1]])
        emphasised = np.concatenate([self._rest, samples - np.float32(EMPHASIS) * before])
        n_frames = len(emphasised) // HOP_SAMPLES
        self._rest = emphasised[n_frames * HOP_SAMPLES :]
        frames = emphasised[: n_frames * HOP_SAMPLES].reshape(-1, HOP_SAMPLES)
        power = np.mean(np.square(frames, dtype=np.float64), axis=1)
        levels: Array = 10 * np.log10(power + 10 ** (LOWEST_DB / 10))
        return levels.astype(np.float32)


def activity(levels: Array, n_before: int) -> Activity:
    """Of (n,) levels, those behind the first `n_before`, which only tell the floor."""
    smooth = smoothed(levels)
    if not len(smooth):
        nothing = np.zeros(0, bool)
        return Activity(nothing, nothing, nothing)
    floor_db = float(np.percentile(smooth, FLOOR_PERCENTILE))
    peak_db = float(np.percentile(smooth, PEAK_PERCENTILE))
    softest_db = max(SILENT_DB, peak_db - SOFTEST_BELOW_PEAK_DB)
    threshold_db = max(floor_db + ABOVE_FLOOR_DB, peak_db - BELOW_PEAK_DB, SILENT_DB)
    is_steady = steady(smooth)
    sounds = without_clicks(((smooth > threshold_db) & ~is_steady)[n_before:])
    maybe = without_clicks(((smooth > softest_db) & ~is_steady)[n_before:])
    return Activity(sounds, maybe | sounds, is_steady[n_before:])


def steady(levels: Array) -> Array:
    """Which frames are in a second whose levels hardly change."""
    n, size = len(levels), STEADY_FRAMES
    found = np.zeros(n, bool)
    if n < size:
        return found
    # Sums of the deviations from the middle: squares of levels would lose the last digits.
    centred = levels.astype(np.float64) - levels.mean(dtype=np.float64)
    sums = np.concatenate([[0], np.cumsum(centred)])
    squares = np.concatenate([[0], np.cumsum(centred**2)])
    mean = (sums[size:] - sums[:-size]) / size
    variance = (squares[size:] - squares[:-size]) / size - mean**2
    # Where it begins and ends, it jumps: a few frames more.
    edges = np.zeros(n + 1, np.int64)
    first = np.flatnonzero(variance < STEADY_DB**2)
    np.add.at(edges, np.maximum(0, first - CLICK_FRAMES), 1)
    np.add.at(edges, np.minimum(n, first + size + CLICK_FRAMES), -1)
    covered: Array = np.cumsum(edges[:-1]) > 0
    return covered


def smoothed(levels: Array) -> Array:
    """The mean of three frames each."""
    if not len(levels):
        return levels
    padded = np.pad(levels, 1, mode="edge")
    mean: Array = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    return mean


def without_clicks(found: Array) -> Array:
    """The same without short sounds that stand alone. What touches an end may go on there."""
    kept = found.copy()
    starts, ends = runs(found)
    for n, (start, end) in enumerate(zip(starts, ends, strict=True)):
        before = start - (ends[n - 1] if n else 0)
        after = (starts[n + 1] if n + 1 < len(starts) else len(found)) - end
        inside = start > 0 and end < len(found)
        if inside and end - start <= CLICK_FRAMES and min(before, after) >= ALONE_FRAMES:
            kept[start:end] = False
    return kept


def runs(found: Array) -> tuple[Array, Array]:
    """The starts and ends of the stretches of True."""
    edges = np.diff(np.concatenate([[0], found.astype(np.int8), [0]]))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
