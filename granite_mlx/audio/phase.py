"""Channels on their way into their mean -> where they cancel each other out there.

Each half second is judged by itself, from the power of its short spectra between 125 Hz and 4 kHz:
there speech is, and no direct voltage. Memory holds one such window.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Frames: TypeAlias = NDArray[np.float32]  # (n_frames, n_channels)
    Spectra: TypeAlias = NDArray[np.complexfloating]  # (n_windows, n_channels, n_bins)

WINDOW_S = 0.5
"""How much is judged at once."""

INAUDIBLE_DB = 45.0
"""So far below the loudest channel the mean is no longer heard (docs/long-recordings.md)."""

LOST_DB = 12.0
"""What is so far below the mean of channels that have nothing in common was cancelled, mostly."""

LEAST_SHARE = 0.5
"""Of what is left, that which sounds like the channels; with less, it is heard as noise."""

FAINTEST = 1e-7
"""The mean square, -70 dB of full scale, below which speech is not heard anyway."""

FAINTEST_DB = 20.0
"""What is so far below the loudest window before it is a pause."""

FORGOTTEN_DB = 0.5
"""So much softer the loudest window counts with each later one: a bang is no measure for long."""

_COARSE_HZ = 8_000
_LOWEST_HZ = 125.0
_FRAME_S = 0.032
_FEWEST_FRAMES = 8  # of fewer, the share says nothing


@dataclass(frozen=True)
class OutOfPhase:
    """Where channels cancel each other out: the first stretch, how many there are, and all of it.

    A stretch goes on over pauses, which the total leaves out.
    """

    start_s: float
    end_s: float
    n_stretches: int
    total_s: float


class PhaseWatch:
    """Looks at all channels of a recording, block by block; `start_s` is when the first begins."""

    def __init__(self, rate: int, start_s: float) -> None:
        self._rate, self._start_s = rate, start_s
        self._n_window = max(1, round(WINDOW_S * rate))
        self._n_judged = 0
        self._rest: Frames = np.empty((0, 0), np.float32)
        self._loudest = 0.0
        self._found: OutOfPhase | None = None
        self._goes_on = False

    def push(self, block: Frames) -> None:
        """The next (n_frames, n_channels)."""
        if block.shape[1] != self._rest.shape[1]:
            self._judge(self._rest)
            rest = block
        else:
            rest = np.concatenate([self._rest, block])
        while len(rest) >= self._n_window:
            self._judge(rest[: self._n_window])
            rest = rest[self._n_window :]
        self._rest = rest.copy()

    def found(self) -> OutOfPhase | None:
        """What was found so far, if anything."""
        _, is_lost = self._heard(self._rest)
        return self._with(len(self._rest)) if is_lost else self._found

    def _judge(self, window: Frames) -> None:
        square, is_lost = self._heard(window)
        if is_lost:
            self._found = self._with(len(window))
        if is_lost is not None:
            self._goes_on = is_lost
        self._loudest = max(square, self._loudest * 10 ** (-FORGOTTEN_DB / 10))
        self._n_judged += len(window)

    def _heard(self, window: Frames) -> tuple[float, bool | None]:
        """The loudest channel's mean square, and whether the channels cancel each other out.

        None where nothing sounds.
        """
        # Values that are no sound end the reading at the next step.
        with np.errstate(all="ignore"):
            found = _spectra(window, self._rate)
            if found is None:
                return 0.0, None
            spectra, power_to_square = found
            square = float(_power(spectra, (0, 2)).max()) * power_to_square
            if not square >= max(FAINTEST, self._loudest * 10 ** (-FAINTEST_DB / 10)):
                return square, None
            return square, is_cancelled(spectra)

    def _with(self, n_frames: int) -> OutOfPhase:
        """And a window of so many frames from here on."""
        start_s = self._start_s + self._n_judged / self._rate
        length_s = n_frames / self._rate
        if self._found is None:
            return OutOfPhase(start_s, start_s + length_s, 1, length_s)
        found = replace(self._found, total_s=self._found.total_s + length_s)
        if not self._goes_on:
            return replace(found, n_stretches=found.n_stretches + 1)
        return replace(found, end_s=start_s + length_s) if found.n_stretches == 1 else found


def is_cancelled(spectra: Spectra) -> bool:
    """Whether little of (n_windows, n_channels, n_bins) can be heard in the channels' mean.

    Nothing is, far below the loudest channel. Above that, softness does no harm: the features take
    the loudest sound as their measure. But what is left may be other than what was cancelled, as
    the noise that each channel has of its own. So it is compared with what the mean would be if
    the channels were turned round, bin by bin: a difference of loudness, delay or timbre keeps the
    two coherent. (Carter, Knapp, Nuttall 1973, magnitude-squared coherence.)
    """
    powers = _power(spectra, (0, 2))  # (n_channels,)
    mean = spectra.mean(axis=1)  # (n_windows, n_bins)
    left = float(_power(mean, (0, 1)))
    if left <= float(powers.max()) * 10 ** (-INAUDIBLE_DB / 10):
        return True
    unlike = float(powers.sum()) / len(powers) ** 2
    if left >= unlike * 10 ** (-LOST_DB / 10) or len(spectra) < _FEWEST_FRAMES:
        return False
    loudest = spectra[:, powers.argmax()]
    signs = np.sign(np.einsum("tcf,tf->c", spectra, loudest.conj()).real)
    turned = np.einsum("tcf,c->tf", spectra, signs)
    crossed = np.abs((turned.conj() * mean).sum(axis=0)) ** 2  # (n_bins,)
    of_turned = _power(turned, (0,))
    coherent = np.divide(crossed, of_turned, out=np.zeros_like(crossed), where=of_turned > 0)
    by_chance = 1 / len(spectra)  # of noise
    share = (float(coherent.sum()) / left - by_chance) / (1 - by_chance)
    return share < LEAST_SHARE


def _spectra(window: Frames, rate: int) -> tuple[Spectra, float] | None:
    """Short spectra, and what makes the sum of their powers a mean square; None if too short.

    Blocks of frames are averaged first, which costs less than resampling. What it folds down is
    folded alike in all channels, and so cancels alike.
    """
    n_averaged = max(1, rate // _COARSE_HZ)
    coarse_hz = rate / n_averaged
    n_coarse = len(window) // n_averaged
    n_fft = max(16, 2 * round(_FRAME_S * coarse_hz / 2))
    if n_coarse < n_fft:
        return None
    n_channels = window.shape[1]
    averaged = np.full((1, n_averaged), 1 / n_averaged, np.float32)
    coarse = averaged @ window[: n_coarse * n_averaged].reshape(n_coarse, n_averaged, n_channels)
    hann = _hann(n_fft)
    n_frames = n_coarse // n_fft
    frames = coarse[: n_frames * n_fft, 0].reshape(n_frames, n_fft, n_channels).swapaxes(1, 2)
    spectra = np.fft.rfft(frames * hann, axis=-1)
    lowest = max(2, math.ceil(_LOWEST_HZ * n_fft / coarse_hz))
    return spectra[..., lowest:], 2 / (n_frames * n_fft * float(np.square(hann).sum()))


@functools.cache
def _hann(n_fft: int) -> NDArray[np.float32]:
    """A periodic Hann window, which holds a constant in its first two bins."""
    window = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(n_fft) / n_fft)
    return window.astype(np.float32)


def _power(spectra: Spectra, axes: tuple[int, ...]) -> NDArray[np.floating]:
    """The sum of the squared magnitudes."""
    power: NDArray[np.floating] = (np.square(spectra.real) + np.square(spectra.imag)).sum(axis=axes)
    return power
