"""A part of an open recording -> blocks of the samples that the model hears: float32, 16 kHz.

The wanted part is read block by block, its channels are averaged or kept apart, and resampled with
what the resampler remembers of the blocks before. So memory holds one block, however long the
recording is and however many channels it has, and the samples are those of reading it in one piece.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import soxr

from granite_mlx.audio.decoders import LENGTH_TOLERANCE_S, Frames, Recording
from granite_mlx.audio.phase import OutOfPhase, PhaseWatch
from granite_mlx.errors import AudioError, AudioTooLongError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[np.float32]  # (n_samples, n_channels)

SAMPLE_RATE = 16_000
"""Samples per second that the model hears."""

_LATEST_S = 1e9  # no recording is so long; a larger number, or infinity, means the same
_LARGEST_VALUE = 2.0**31  # the full scale of floats that somebody left in the scale of integers


@dataclass(frozen=True)
class Part:
    """The part of a recording that is wanted, and how long it may be, in seconds."""

    start_s: float = 0.0
    end_s: float | None = None
    max_duration_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("start_s", "end_s", "max_duration_s"):
            value = getattr(self, name)
            if value is None and name != "start_s":
                continue
            if isinstance(value, bool) or not isinstance(value, Real):
                raise TypeError(f"{name} must be a number of seconds, not {value!r}.")
        if not (math.isfinite(self.start_s) and self.start_s >= 0):
            raise ValueError(f"start_s must be a time from 0 on, not {self.start_s}.")
        if self.end_s is not None and not self.end_s > self.start_s:
            raise ValueError(f"end_s must be later than start_s={self.start_s}, not {self.end_s}.")
        if self.max_duration_s is not None and not self.max_duration_s > 0:
            raise ValueError(f"max_duration_s must be more than 0, not {self.max_duration_s}.")

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self.start_s == 0 and self.end_s is None


class AudioStream:
    """The part of a recording, read once from front to back.

    `how_far` tells the fraction of the file that was read, for files that do not tell how long
    they are; `name` is what messages call the recording.
    """

    def __init__(
        self, recording: Recording, part: Part, *, separate: bool, how_far: Callable[[], float]
    ) -> None:
        self.name = recording.name
        self.n_samples = 0  # at 16 kHz, given so far
        self._recording, self._part = recording, part
        self._phase = PhaseWatch(recording.sample_rate, part.start_s)
        self._separate, self._how_far = separate, how_far

    def blocks(self) -> Iterator[Samples]:
        """(n_samples, n_channels), one channel unless they are wanted separately.

        Raises AudioError where the recording is damaged, or holds what is no sound; before any
        block where it holds nothing in the part; AudioTooLongError for a part that is too long.
        """
        frames = _wanted_blocks(self._recording, self._part)
        mixed = frames if self._separate else self._averaged(frames)
        checked = _checked(mixed, self._recording, self._part.start_s)
        blocks = _resampled(checked, self._recording.sample_rate)
        while (block := self._next(blocks)) is not None:
            self.n_samples += len(block)
            if len(block):
                yield block
        if not self.n_samples:
            raise AudioError(nothing_in(self.name, self._part.start_s))

    @property
    def out_of_phase(self) -> OutOfPhase | None:
        """Where the channels, as far as they were read, cancel each other out in their mean."""
        return self._phase.found()

    def _averaged(self, blocks: Iterator[Frames]) -> Iterator[Samples]:
        """The mean over the channels: (n_frames, n_channels) -> (n_frames, 1)."""
        for block in blocks:
            n_channels = block.shape[1]
            # What is invalid here is found in the next step. No `yield` inside: errstate belongs to
            # the thread that entered it, and a generator may be ended by another one.
            with np.errstate(invalid="ignore", over="ignore"):
                mean = block @ np.full((n_channels, 1), 1 / n_channels, np.float32)
            if n_channels > 1:
                self._phase.push(block)
            yield mean

    def _next(self, blocks: Iterator[Samples]) -> Samples | None:
        try:
            return next(blocks, None)
        except OSError as error:
            raise AudioError(f"{self.name} cannot be read: {error.strerror or error}.") from error

    @property
    def duration_s(self) -> float | None:
        """How long the part is by the recording's header, None where it does not tell."""
        if self._recording.n_frames is None:
            return None
        ends_s = self._recording.n_frames / self._recording.sample_rate
        if self._part.end_s is not None:
            ends_s = min(ends_s, self._part.end_s)
        return max(0.0, ends_s - self._part.start_s)

    @property
    def fraction(self) -> float:
        """Of the part, what was given so far: 0 to 1, and near it where the length is guessed."""
        total_s = self.duration_s
        if total_s is None:
            return self._how_far()
        return min(1.0, self.n_samples / SAMPLE_RATE / total_s) if total_s else 1.0


def _wanted_blocks(recording: Recording, part: Part) -> Iterator[Frames]:
    """The frames of the part. AudioTooLongError before decoding where the header tells."""
    rate = recording.sample_rate
    start = _n_frames(part.start_s, rate)
    end = math.inf if part.end_s is None else max(start + 1, _n_frames(part.end_s, rate))
    limit = math.inf if part.max_duration_s is None else _n_frames(part.max_duration_s, rate)
    if recording.n_frames is not None:
        if 0 < recording.n_frames <= start:
            raise AudioError(nothing_in(recording.name, part.start_s))
        n_frames = min(end, recording.n_frames) - start
        # The header may count the encoder's delay: what is close is decided while decoding.
        if n_frames > limit + LENGTH_TOLERANCE_S * rate:
            raise _too_long(recording, part, f"{n_frames / rate:.1f} s")
    position = start
    for block in recording.blocks(start):
        wanted = block[: int(min(len(block), end - position))]
        position += len(wanted)
        if position - start > limit:
            raise _too_long(recording, part, f"more than {part.max_duration_s:g} s")
        yield wanted
        if position == end:
            return


def _n_frames(time_s: float, rate: int) -> int:
    return round(min(time_s, _LATEST_S) * rate)


def _checked(blocks: Iterator[Samples], recording: Recording, start_s: float) -> Iterator[Samples]:
    """The same blocks. AudioError at the first value that cannot be sound."""
    n_before = 0
    for block in blocks:
        wrong = ~(np.abs(block) <= _LARGEST_VALUE)  # also true of NaN
        if wrong.any():
            frame, channel = (int(index) for index in np.argwhere(wrong)[0])
            at_s = start_s + (n_before + frame) / recording.sample_rate
            raise AudioError(
                f"{recording.name} holds the value {block[frame, channel]} at {at_s:.3f} s, which "
                "is no sound: mend what made it, or leave the place out with start_s or end_s."
            )
        n_before += len(block)
        yield block


def _resampled(blocks: Iterator[Samples], rate: int) -> Iterator[Samples]:
    """All blocks at 16 kHz, as if they had been resampled in one piece.

    HQ has 20 bits of precision: errors 120 dB below full scale, where the features end 80 dB
    below the loudest sound. VHQ would take longer for what the model cannot hear.
    """
    resampler, n_channels = None, 1
    for block in blocks:
        if rate == SAMPLE_RATE:
            yield block
            continue
        if resampler is None:
            n_channels = block.shape[1]
            resampler = soxr.ResampleStream(
                rate, SAMPLE_RATE, n_channels, dtype="float32", quality="HQ"
            )
        yield resampler.resample_chunk(block)
    if resampler is not None:
        yield resampler.resample_chunk(np.empty((0, n_channels), np.float32), last=True)


def nothing_in(name: str, start_s: float) -> str:
    """What is said of a recording without samples from `start_s` on."""
    if start_s > 0:
        return f"{name} ends before start_s={start_s:g}: choose an earlier start (--start)."
    return f"{name} holds no samples: record or export it again."


def _too_long(recording: Recording, part: Part, length: str) -> AudioTooLongError:
    what = recording.name if part.is_whole else f"the wanted part of {recording.name}"
    return AudioTooLongError(
        f"{what} is {length} long, and the limit is {part.max_duration_s:g} s: choose a part "
        "with start_s and end_s (--start and --end)."
    )
