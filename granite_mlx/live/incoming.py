"""Chunks of sound in the usual forms -> float32 samples at 16 kHz, as if they had come in one.

The resampler remembers the chunks before, so there are no clicks at their borders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import soxr

from granite_mlx.audio.stream import SAMPLE_RATE
from granite_mlx.errors import AudioError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[np.float32]

LOWEST_RATE, HIGHEST_RATE = 8_000, 192_000
FULL_SCALE = 32768
LOUDEST = 2.0**31
"""The full scale of floats that somebody left in the scale of integers."""


class Incoming:
    """Takes chunks of (n,) samples at `sample_rate`, gives them at 16 kHz.

    Raises:
        TypeError, ValueError: a sample rate that is no whole number from 8000 to 192000.
    """

    def __init__(self, sample_rate: int) -> None:
        if isinstance(sample_rate, bool) or not isinstance(sample_rate, int):
            raise TypeError(f"sample_rate must be a whole number of Hz, not {sample_rate!r}.")
        if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
            raise ValueError(
                f"sample_rate must be from {LOWEST_RATE} to {HIGHEST_RATE} Hz, not {sample_rate}."
            )
        self._rate = sample_rate
        self._resampler = self._new_resampler()

    def push(self, chunk: Samples) -> Samples:
        """The samples at 16 kHz that are complete with this chunk."""
        if self._resampler is None:
            return chunk
        resampled: Samples = self._resampler.resample_chunk(chunk)
        return resampled

    def flush(self) -> Samples:
        """The last ones; what is pushed afterwards begins anew."""
        if self._resampler is None:
            return np.empty(0, np.float32)
        last: Samples = self._resampler.resample_chunk(np.empty(0, np.float32), last=True)
        self._resampler = self._new_resampler()
        return last

    def _new_resampler(self) -> soxr.ResampleStream | None:
        if self._rate == SAMPLE_RATE:
            return None
        # The quality with which recordings are read (audio/stream.py).
        return soxr.ResampleStream(self._rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")


def checked_chunk(chunk: np.ndarray | bytes) -> Samples:
    """(n,) float32 of a chunk: floats, int16, or the bytes of little-endian 16-bit PCM.

    Raises:
        TypeError: neither bytes nor an array of floats or int16.
        ValueError: an odd number of bytes, or more than one channel.
        AudioError: a value that is no sound.
    """
    if isinstance(chunk, (bytes, bytearray, memoryview)):
        if len(chunk) % 2:
            raise ValueError("a chunk of 16-bit PCM must have an even number of bytes.")
        chunk = np.frombuffer(chunk, "<i2")
    if not isinstance(chunk, np.ndarray):
        raise TypeError(f"a chunk must be an array or bytes, not {type(chunk).__name__}.")
    if chunk.ndim != 1:
        raise ValueError(f"a chunk must have one channel, shape (n,), not {chunk.shape}.")
    if chunk.dtype.kind == "i" and chunk.dtype.itemsize == 2:
        return chunk.astype(np.float32) / np.float32(FULL_SCALE)
    if chunk.dtype.kind != "f":
        raise TypeError(f"a chunk must hold floats or int16, not {chunk.dtype}.")
    if not (np.abs(chunk) <= LOUDEST).all():  # nor NaN
        raise AudioError("a chunk holds a value that is no sound; mend what records it.")
    return chunk.astype(np.float32)  # a copy: the caller may use its buffer again
