"""Channels on their way into their mean -> where they cancel each other out there.

Each half second is judged by itself, from the power of its short spectra between 125 Hz and 4 kHz:
there speech is, and no direct voltage. Memory holds sums over one such window.
"""

from __future__ import annotations

import functools
import math
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Frames: TypeAlias = NDArray[np.float32]  # (n_frames, n_channels)
    Spectra: TypeAlias = NDArray[np.complexfloating]  # (n_spectra, n_channels, n_bins)

N_SPECTRA = 16
"""Spectra of 1/32 s that are judged at once."""

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

_SPECTRA_PER_S = 32
_COARSE_HZ = 8_000
_LOWEST_HZ = 125.0
_MOST_VALUES = 1 << 17  # that are looked at together, so that many channels take little memory
_FEWEST_SPECTRA = 8  # of fewer, the share says nothing


@dataclass(frozen=True)
class OutOfPhase:
    """Where channels cancel each other out: the first stretch, how many there are, and all of it.

    A stretch goes on over pauses, which the total leaves out.
    """

    start_s: float
    end_s: float
    n_stretches: int
    total_s: float


class Sums:
    """What is kept of the spectra of a window: powers and products, summed over time.

    What sets a channel apart is the channel less the mean: of two, half their difference.
    """

    def __init__(self) -> None:
        self.n_spectra = 0
        self.of_mean = 0.0
        # Power of (n_channels,), and (n_channels, n_bins) of power and of products with the mean.
        self.of_channels: NDArray[np.floating] = np.zeros(1, np.float32)
        self.apart: NDArray[np.floating] = np.zeros(1, np.float32)
        self.crossed: NDArray[np.complexfloating] = np.zeros(1, np.complex64)

    def add(self, spectra: Spectra) -> None:
        """The next (n_spectra, n_channels, n_bins)."""
        mean = spectra.mean(axis=1, keepdims=True)
        apart = spectra - mean
        of_channels, of_mean = _power(spectra, (0, 2)), float(_power(mean, (0, 1, 2)))
        crossed = np.einsum("tcf,tf->cf", apart.conj(), mean[:, 0])
        # Not in place, since a copy may be kept.
        self.of_channels = self.of_channels + of_channels
        self.apart = self.apart + _power(apart, (0,))
        self.crossed = self.crossed + crossed
        self.of_mean += of_mean
        self.n_spectra += len(spectra)


class PhaseWatch:
    """Looks at all channels of a recording, block by block; `start_s` is when the first begins."""

    def __init__(self, rate: int, start_s: float) -> None:
        self._rate, self._start_s = rate, start_s
        self._n_averaged = max(1, rate // _COARSE_HZ)
        self._n_fft = max(16, 2 * round(rate / self._n_averaged / _SPECTRA_PER_S / 2))
        self._n_judged = 0  # of coarse frames
        self._odd: Frames = np.empty((0, 0), np.float32)  # too few for a coarse one
        self._rest: Frames = np.empty((0, 0), np.float32)  # coarse
        self._sums = Sums()
        self._loudest = 0.0
        self._found: OutOfPhase | None = None
        self._goes_on = False

    def push(self, block: Frames) -> None:
        """The next (n_frames, n_channels)."""
        # Values that are no sound end the reading at the step after this one.
        with np.errstate(all="ignore"):
            self._push(block)

    def _push(self, block: Frames) -> None:
        n_channels = block.shape[1]
        if n_channels != self._odd.shape[1]:
            self._judge(self._with_rest())
            self._n_judged += len(self._rest) % self._n_fft
            self._odd = self._rest = np.empty((0, n_channels), np.float32)
        self._rest = np.concatenate([self._rest, self._coarse(block)])
        n_together = max(1, min(N_SPECTRA, _MOST_VALUES // (n_channels * self._n_fft)))
        while (n := min(n_together, N_SPECTRA - self._sums.n_spectra)) <= self._n_waiting:
            self._sums.add(self._spectra(self._rest[: n * self._n_fft]))
            self._rest = self._rest[n * self._n_fft :]
            if self._sums.n_spectra == N_SPECTRA:
                self._judge(self._sums)

    def found(self) -> OutOfPhase | None:
        """What was found so far, if anything."""
        with np.errstate(all="ignore"):
            sums = self._with_rest()
            _, is_lost = self._heard(sums)
        return self._with(sums.n_spectra) if is_lost else self._found

    @property
    def _n_waiting(self) -> int:
        return len(self._rest) // self._n_fft

    def _with_rest(self) -> Sums:
        """The sums of all there is of the last window."""
        sums = copy(self._sums)
        if self._n_waiting:
            sums.add(self._spectra(self._rest[: self._n_waiting * self._n_fft]))
        return sums

    def _judge(self, sums: Sums) -> None:
        square, is_lost = self._heard(sums)
        if is_lost:
            self._found = self._with(sums.n_spectra)
        if is_lost is not None:
            self._goes_on = is_lost
        self._loudest = max(square, self._loudest * 10 ** (-FORGOTTEN_DB / 10))
        self._n_judged += sums.n_spectra * self._n_fft
        self._sums = Sums()

    def _heard(self, sums: Sums) -> tuple[float, bool | None]:
        """The loudest channel's mean square, and whether the channels cancel each other out.

        None where nothing sounds.
        """
        if not sums.n_spectra:
            return 0.0, None
        of_hann = float(np.square(_hann(self._n_fft)).sum())
        square = float(sums.of_channels.max()) * 2 / (sums.n_spectra * self._n_fft * of_hann)
        if not square >= max(FAINTEST, self._loudest * 10 ** (-FAINTEST_DB / 10)):
            return square, None
        return square, is_cancelled(sums)

    def _coarse(self, block: Frames) -> Frames:
        """Means of frames next to each other, at 8 kHz or little more.

        That costs less than resampling; what it folds down, it folds down in all channels alike,
        and so that cancels alike.
        """
        n = self._n_averaged
        n_first = min(len(block), -len(self._odd) % n)
        first, others = np.concatenate([self._odd, block[:n_first]]), block[n_first:]
        if len(first) % n:
            self._odd = first
            return others  # none
        n_whole = len(others) // n * n
        self._odd = others[n_whole:].copy()
        return np.concatenate([_means(first, n), _means(others[:n_whole], n)])

    def _spectra(self, coarse: Frames) -> Spectra:
        """(n_spectra, n_channels, n_bins), from 125 Hz on."""
        cut = coarse.reshape(-1, self._n_fft, coarse.shape[1]).swapaxes(1, 2)
        spectra = np.fft.rfft(cut * _hann(self._n_fft), axis=-1)
        lowest = math.ceil(_LOWEST_HZ * self._n_fft * self._n_averaged / self._rate)
        return spectra[..., max(2, lowest) :]

    def _with(self, n_spectra: int) -> OutOfPhase:
        """And a window of so many spectra from here on."""
        coarse_hz = self._rate / self._n_averaged
        start_s = self._start_s + self._n_judged / coarse_hz
        length_s = n_spectra * self._n_fft / coarse_hz
        if self._found is None:
            return OutOfPhase(start_s, start_s + length_s, 1, length_s)
        found = replace(self._found, total_s=self._found.total_s + length_s)
        if not self._goes_on:
            return replace(found, n_stretches=found.n_stretches + 1)
        return replace(found, end_s=start_s + length_s) if found.n_stretches == 1 else found


def is_cancelled(sums: Sums) -> bool:
    """Whether little can be heard in the channels' mean.

    Nothing is, far below the loudest channel. Above that, softness does no harm: the features take
    the loudest sound as their measure. But what is left may be other than what was cancelled, as
    the noise that each channel has of its own. So it is compared with what sets the loudest channel
    apart, bin by bin: a difference of loudness, delay or timbre keeps the two coherent. (Carter,
    Knapp, Nuttall 1973, magnitude-squared coherence.)
    """
    of_channels, left = sums.of_channels, sums.of_mean
    loudest = int(of_channels.argmax())
    if left <= float(of_channels[loudest]) * 10 ** (-INAUDIBLE_DB / 10):
        return True
    unlike = float(of_channels.sum()) / len(of_channels) ** 2
    if left >= unlike * 10 ** (-LOST_DB / 10) or sums.n_spectra < _FEWEST_SPECTRA:
        return False
    apart, crossed = sums.apart[loudest], np.abs(sums.crossed[loudest]) ** 2
    coherent = np.divide(crossed, apart, out=np.zeros_like(crossed), where=apart > 0)
    by_chance = 1 / sums.n_spectra  # of noise
    share = (float(coherent.sum()) / left - by_chance) / (1 - by_chance)
    return share < LEAST_SHARE


def _means(frames: Frames, n: int) -> Frames:
    """Of each n frames: (n_means * n, n_channels) -> (n_means, n_channels)."""
    if n == 1:
        return frames
    shares = np.full((1, n), 1 / n, np.float32)
    means: Frames = (shares @ frames.reshape(-1, n, frames.shape[1]))[:, 0]
    return means


@functools.cache
def _hann(n_fft: int) -> NDArray[np.float32]:
    """A periodic Hann window, which holds a constant in its first two bins."""
    window = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(n_fft) / n_fft)
    return window.astype(np.float32)


def _power(spectra: Spectra, axes: tuple[int, ...]) -> NDArray[np.floating]:
    """The sum of the squared magnitudes."""
    power: NDArray[np.floating] = (np.square(spectra.real) + np.square(spectra.imag)).sum(axis=axes)
    return power
