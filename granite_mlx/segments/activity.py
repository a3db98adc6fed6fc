"""Where something sounds: the energy of 10 ms frames over a floor that follows the recording.

A first difference takes away what is no speech below 100 Hz (a constant, hum, rumble) and favours
the weak high sounds. Steady sounds of any strength become the floor: they are not active.
"""

from __future__ import annotations

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
BELOW_PEAK_DB = 50.0
SILENT_DB = -85.0

CLICK_FRAMES = 4
"""What is shorter and stands alone is no speech: a knock, a key, the click of a switch."""
ALONE_FRAMES = 30

STEADY_DB = 30.0
"""Within so much of the loudest, what is not active may be speech in steady noise all the same."""


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


def active(levels: Array, n_before: int) -> Array:
    """Which frames sound, of those behind the first `n_before`, which only tell the floor."""
    smooth = smoothed(levels)
    found: Array = (smooth > threshold_db(smooth))[n_before:]
    return without_clicks(found)


def steady(levels: Array, n_before: int, n_frames: int) -> bool:
    """Whether the `n_frames` behind the first `n_before`, not active, are loud all the same."""
    smooth = smoothed(levels)
    mean_db = float(np.mean(smooth[n_before : n_before + n_frames]))
    return mean_db > max(SILENT_DB + ABOVE_FLOOR_DB, peak_db(smooth) - STEADY_DB)


def smoothed(levels: Array) -> Array:
    """The mean of three frames each."""
    if not len(levels):
        return levels
    padded = np.pad(levels, 1, mode="edge")
    mean: Array = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    return mean


def threshold_db(smooth: Array) -> float:
    """What is louder is active."""
    if not len(smooth):
        return SILENT_DB
    floor_db = float(np.percentile(smooth, FLOOR_PERCENTILE))
    return max(floor_db + ABOVE_FLOOR_DB, peak_db(smooth) - BELOW_PEAK_DB, SILENT_DB)


def peak_db(smooth: Array) -> float:
    """The loudest, but for clicks."""
    return float(np.percentile(smooth, PEAK_PERCENTILE))


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
