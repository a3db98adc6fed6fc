"""Any source of sound, opened: a path, bytes, a file object or an array.

`open_audio` gives the wanted part as blocks of samples (stream.py), `load_audio` as one array.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from numbers import Integral
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from granite_mlx.audio.decoders import (
    Frames,
    Recording,
    as_float32,
    block_frames,
    open_recording,
)
from granite_mlx.audio.stream import SAMPLE_RATE as SAMPLE_RATE
from granite_mlx.audio.stream import AudioStream, Part, nothing_in
from granite_mlx.errors import AudioError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[np.float32]  # (n_samples,)

AudioSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO | ArrayLike
"""A path, an encoded recording as bytes or as a file object, or samples in an array or a list."""

_SAMPLE_RATES = range(1_000, 768_001)
_SAMPLE_RATES_SHOWN = "1000 to 768000 Hz"
_LARGEST_STREAM_BYTES = 2 << 30


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
    part = Part(start_s, end_s, max_duration_s)
    with open_audio(source, part, sample_rate=sample_rate) as stream:
        return np.concatenate([block[:, 0] for block in stream.blocks()])


@contextmanager
def open_audio(
    source: AudioSource,
    part: Part,
    *,
    sample_rate: int | None = None,
    separate: bool = False,
) -> Iterator[AudioStream]:
    """The same part, open for reading block by block, with the channels averaged or `separate`.

    What is wrong with the recording is raised here or by the stream, as by `load_audio`.
    """
    name = _name_of(source)
    with ExitStack() as opened:
        try:
            recording, how_far = opened.enter_context(_opened(source, name, sample_rate))
        except OSError as error:
            raise _unreadable(name, error) from error
        yield AudioStream(recording, part, separate=separate, how_far=how_far)


def _unreadable(name: str, error: OSError) -> AudioError:
    return AudioError(f"{name} cannot be read: {error.strerror or error}.")


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
def _opened(
    source: Any, name: str, sample_rate: int | None
) -> Iterator[tuple[Recording, Callable[[], float]]]:
    """The recording in any source, and how far its file was read; closes what it opened."""
    _check_rate_argument(sample_rate)
    with ExitStack() as opened:
        if isinstance(source, str | os.PathLike):
            stream: BinaryIO = opened.enter_context(_open_file(name))
        elif isinstance(source, bytes | bytearray | memoryview):
            stream = io.BytesIO(source)
        elif hasattr(source, "read"):
            stream = source
        else:
            yield _array_recording(source, name, sample_rate), lambda: 1.0
            return
        file = _plain_file(stream, name, opened)
        recording = open_recording(file, name)
        opened.enter_context(closing(recording))
        _check_rate(recording, sample_rate)
        n_bytes = max(1, os.fstat(file.fileno()).st_size)
        yield recording, lambda: min(1.0, file.tell() / n_bytes)


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
        raise AudioError(nothing_in(name, 0.0))
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
