"""Any recording -> the samples that the model hears: float32, mono, 16 kHz.

A path, bytes, a file object or an array is opened, the wanted part is read block by block, its
channels are averaged and the result is resampled. So memory holds one block of the recording
and the finished samples, however long the file is and however many channels it has.
"""

from __future__ import annotations

import io
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
import soxr
from numpy.typing import ArrayLike

from granite_mlx.audio.decoders import (
    LENGTH_TOLERANCE_S,
    Frames,
    Recording,
    as_float32,
    block_frames,
    open_recording,
)
from granite_mlx.errors import AudioError, AudioTooLongError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[np.float32]  # (n_samples,)

SAMPLE_RATE = 16_000
"""Samples per second that the model hears."""

AudioSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO | ArrayLike
"""A path, an encoded recording as bytes or as a file object, or samples in an array or a list."""

_SAMPLE_RATES = range(1_000, 768_001)
_SAMPLE_RATES_SHOWN = "1000 to 768000 Hz"
_LARGEST_STREAM_BYTES = 2 << 30
_LATEST_S = 1e9  # no recording is so long; a larger number, or infinity, means the same
_LARGEST_VALUE = 2.0**31  # the full scale of floats that somebody left in the scale of integers


def load_audio(
    source: AudioSource,
    *,
    sample_rate: int | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
    max_duration_s: float | None = None,
) -> Samples:
    """Read the part [start_s, end_s) of a recording: shape (n_samples,), float32, mono, 16 kHz.

    Channels are averaged. Time counts from the first sample of the (first) sound track; an
    `end_s` beyond the end means the end. At the edges of a part the resampler sees silence
    where the whole recording goes on, so the first and last 10 ms differ a little from a slice.

    A file object is read from its first byte and left open. Bytes and what is no plain file, as a
    pipe, are copied into a temporary file first, up to 2 GiB. An array is (n,), (n, channels) or
    (channels, n), where the longer axis is time, and needs its `sample_rate`. Integers are scaled
    by the full range of their type, unsigned ones are silent in its middle; floats are taken as
    they are.

    Raises AudioError for a recording that cannot be read, is damaged in the wanted part, or
    holds nothing there; AudioTooLongError if the part is longer than `max_duration_s`;
    ValueError and TypeError for wrong arguments.
    """
    part = _Part(start_s, end_s, max_duration_s)
    name = _name_of(source)
    try:
        with _opened(source, name, sample_rate) as recording:
            mono = _averaged(_wanted_blocks(recording, part))
            samples = _resampled(_checked(mono, recording, start_s), recording.sample_rate)
    except OSError as error:
        raise AudioError(f"{name} cannot be read: {error.strerror or error}.") from error
    if not len(samples):
        raise AudioError(_nothing_in(name, start_s))
    return samples


@dataclass(frozen=True)
class _Part:
    """The part of a recording that is wanted, and how long it may be, in seconds."""

    start_s: float
    end_s: float | None
    max_duration_s: float | None

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
        return self.start_s == 0 and self.end_s is None


def _name_of(source: Any) -> str:
    """What error messages call the source."""
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return "the audio in the given bytes"
    if hasattr(source, "read"):
        name = getattr(source, "name", None)  # a number for a file opened by its descriptor
        if name == "<stdin>":  # as Python calls it
            return "stdin"
        return name if isinstance(name, str) else "the audio in the given file object"
    return "the given array"


@contextmanager
def _opened(source: Any, name: str, sample_rate: int | None) -> Iterator[Recording]:
    """The recording in any source; closes what it opened."""
    _check_rate_argument(sample_rate)
    with ExitStack() as opened:
        if isinstance(source, str | os.PathLike):
            stream: BinaryIO = opened.enter_context(_open_file(name))
        elif isinstance(source, bytes | bytearray | memoryview):
            stream = io.BytesIO(source)
        elif hasattr(source, "read"):
            stream = source
        else:
            yield _array_recording(source, name, sample_rate)
            return
        recording = open_recording(_plain_file(stream, name, opened), name)
        opened.enter_context(closing(recording))
        _check_rate(recording, sample_rate)
        yield recording


def _open_file(path: str) -> io.FileIO:
    try:
        return open(path, "rb", buffering=0)
    except FileNotFoundError as error:
        hint = "download it first" if "://" in path else "check the name and the folder"
        raise AudioError(f"there is no file {path}: {hint}.") from error
    except IsADirectoryError as error:
        raise AudioError(f"{path} is a folder: name a recording in it.") from error
    except PermissionError as error:
        raise AudioError(f"{path} may not be read: allow it to this user or program.") from error


def _plain_file(stream: BinaryIO, name: str, opened: ExitStack) -> io.FileIO:
    """The stream as a file of the system in which one can seek, or a temporary copy of it.

    Decoders read it in C. They would have to call any other object back, and what is raised
    there, as by Ctrl-C, is lost.
    """
    if isinstance(stream.read(0), str):
        raise TypeError(f"{name} is open as text: open it in binary mode ('rb').")
    file = stream.raw if isinstance(stream, io.BufferedReader) else stream
    if isinstance(file, io.FileIO) and file.seekable():
        opened.callback(file.seek, file.tell())  # where the caller's buffer takes it to be
        return file
    if hasattr(stream, "seekable") and stream.seekable():
        stream.seek(0)
    copy = opened.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  # `opened` closes it
    while chunk := stream.read(1 << 20):
        copy.write(chunk)
        if copy.tell() > _LARGEST_STREAM_BYTES:
            raise AudioError(f"{name} goes on after 2 GiB: save it as a file, and name the file.")
    copy.flush()
    return io.FileIO(copy.fileno(), closefd=False)


def _check_rate_argument(sample_rate: int | None) -> None:
    if sample_rate is None:
        return
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, Integral):
        raise TypeError(f"sample_rate must be a whole number of Hz, not {sample_rate!r}.")
    if sample_rate not in _SAMPLE_RATES:
        raise ValueError(f"sample_rate must be {_SAMPLE_RATES_SHOWN}, not {sample_rate}.")


def _check_rate(recording: Recording, sample_rate: int | None) -> None:
    own = recording.sample_rate
    if own not in _SAMPLE_RATES:
        raise AudioError(
            f"{recording.name} gives its sample rate as {own} Hz, and only {_SAMPLE_RATES_SHOWN} "
            "can be read: resample it, or correct its header."
        )
    if sample_rate not in (None, own):
        raise ValueError(
            f"{recording.name} is recorded at {own} Hz, not at sample_rate={sample_rate}: "
            "leave sample_rate out, it is for arrays."
        )


class _ArrayRecording:
    """Samples that the caller decoded."""

    def __init__(self, frames: NDArray[Any], name: str, sample_rate: int) -> None:
        self.name = name
        self.sample_rate = sample_rate
        self.n_frames: int | None = len(frames)
        self._frames = frames

    def blocks(self, start_frame: int) -> Iterator[Frames]:
        n_frames, n_channels = self._frames.shape
        n_block = block_frames(self.sample_rate, n_channels)
        for first in range(start_frame, n_frames, n_block):
            yield as_float32(self._frames[first : first + n_block])

    def close(self) -> None:
        pass


def _array_recording(source: Any, name: str, sample_rate: int | None) -> _ArrayRecording:
    samples = _as_array(source)
    if sample_rate is None:
        raise ValueError("sample_rate is missing: an array does not tell how fast it was sampled.")
    if samples.ndim == 1:
        samples = samples[:, None]
    if samples.ndim != 2:
        raise ValueError(
            f"{name} has {samples.ndim} dimensions: give (n_samples,) or (n_samples, n_channels)."
        )
    if not samples.size:
        raise AudioError(_nothing_in(name, 0.0))
    if samples.shape[0] < samples.shape[1]:  # a recording has fewer channels than samples
        samples = samples.T
    return _ArrayRecording(samples, name, int(sample_rate))


def _as_array(source: Any) -> NDArray[Any]:
    if str(getattr(source, "dtype", "")) == "mlx.core.bfloat16":  # numpy has no such type
        import mlx.core as mx

        source = source.astype(mx.float32)
    try:
        samples = np.asarray(source)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"this {type(source).__name__} cannot be read as audio: {error}."
        ) from error
    if samples.ndim == 0 or samples.dtype.kind == "O":
        raise TypeError(
            "audio must be a path, bytes, a file object or an array of samples, not "
            f"{type(source).__name__}."
        )
    if samples.dtype.kind not in "fiu":
        raise TypeError(f"samples must be floats or integers, not {samples.dtype}.")
    if samples.dtype.kind in "iu" and samples.dtype.itemsize == 8:
        # Scaled by their full range, 16 bit samples in a 64 bit array would be silence.
        raise TypeError(
            f"{samples.dtype} samples have no agreed scale: use int16, int32 or float32."
        )
    return samples


def _wanted_blocks(recording: Recording, part: _Part) -> Iterator[Frames]:
    """The frames of the part. AudioTooLongError before decoding where the header tells."""
    rate = recording.sample_rate
    start = _n_frames(part.start_s, rate)
    end = math.inf if part.end_s is None else max(start + 1, _n_frames(part.end_s, rate))
    limit = math.inf if part.max_duration_s is None else _n_frames(part.max_duration_s, rate)
    if recording.n_frames is not None:
        if 0 < recording.n_frames <= start:
            raise AudioError(_nothing_in(recording.name, part.start_s))
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


def _averaged(blocks: Iterator[Frames]) -> Iterator[Samples]:
    """The mean over the channels: (n_frames, n_channels) -> (n_frames,)."""
    for block in blocks:
        n_channels = block.shape[1]
        # What is invalid here is found in the next step. No `yield` inside: errstate belongs to the
        # thread that entered it, and a generator may be ended by another one.
        with np.errstate(invalid="ignore", over="ignore"):
            mean = block @ np.full(n_channels, 1 / n_channels, np.float32)
        yield mean


def _checked(blocks: Iterator[Samples], recording: Recording, start_s: float) -> Iterator[Samples]:
    """The same blocks. AudioError at the first value that cannot be sound."""
    n_before = 0
    for block in blocks:
        wrong = ~(np.abs(block) <= _LARGEST_VALUE)  # also true of NaN
        if wrong.any():
            index = int(wrong.argmax())
            at_s = start_s + (n_before + index) / recording.sample_rate
            raise AudioError(
                f"{recording.name} holds the value {block[index]} at {at_s:.3f} s, which is no "
                "sound: mend what made it, or leave the place out with start_s or end_s."
            )
        n_before += len(block)
        yield block


def _resampled(blocks: Iterator[Samples], rate: int) -> Samples:
    """All blocks in one array at 16 kHz, as if they had been resampled in one piece.

    HQ has 20 bits of precision: errors 120 dB below full scale, where the features end 80 dB
    below the loudest sound. VHQ would take longer for what the model cannot hear.
    """
    if rate == SAMPLE_RATE:
        pieces = list(blocks)
    else:
        resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        pieces = [resampler.resample_chunk(block) for block in blocks]
        pieces.append(resampler.resample_chunk(np.empty(0, np.float32), last=True))
    return np.concatenate(pieces) if pieces else np.empty(0, np.float32)


def _nothing_in(name: str, start_s: float) -> str:
    if start_s > 0:
        return f"{name} ends before start_s={start_s:g}: choose an earlier start (--start)."
    return f"{name} holds no samples: record or export it again."


def _too_long(recording: Recording, part: _Part, length: str) -> AudioTooLongError:
    what = recording.name if part.is_whole else f"the wanted part of {recording.name}"
    return AudioTooLongError(
        f"{what} is {length} long, and the limit is {part.max_duration_s:g} s: choose a part "
        "with start_s and end_s (--start and --end)."
    )
