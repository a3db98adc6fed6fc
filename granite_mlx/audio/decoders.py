"""The raw frames of a recording, block by block: nothing else in the package decodes audio.

A recording has a sample rate, perhaps a length that its header promises, and blocks of frames.
Two decoders share this face: libsndfile (wav, flac, ogg, opus, aiff, caf, ...) and ffmpeg (mp3,
m4a, mp4, mov, aac, webm, ...). The content decides which, never the suffix: suffixes lie.

A file that ends too early is an error once the reading comes to the missing part; what lies
before it can still be read. What is done with the frames, this module does not know.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Generator, Iterator
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import av
import numpy as np
import soundfile
from av.error import FFmpegError

from granite_mlx.errors import AudioError

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream, Packet
    from av.container import InputContainer
    from numpy.typing import NDArray

Frames: TypeAlias = "NDArray[np.float32]"  # (n_frames, n_channels)

# Codec delay and headers that are off by a little come to less; a lost word comes to more.
LENGTH_TOLERANCE_S = 0.1
"""By how much the frames may fall short of `n_frames` in an undamaged recording."""

_BLOCK_S = 0.25
_BLOCK_VALUES = 1 << 20  # at most, however many channels there are

_MEND = "export it again as wav, flac or m4a"


class Recording(Protocol):
    """A recording that is open for reading once, from front to back."""

    name: str
    sample_rate: int
    n_frames: int | None  # as the header promises, nearly; None where it does not tell

    def blocks(self, start_frame: int) -> Iterator[Frames]:
        """The frames from `start_frame` to the end. AudioError where they cannot be decoded."""
        ...

    def close(self) -> None:
        """Free the decoder. The stream stays open: whoever opened it closes it."""
        ...


def open_recording(stream: io.FileIO, name: str) -> Recording:
    """Open the recording that a file holds from its first byte on; one must be able to seek in it.

    `name` is what messages call it. AudioError if there is nothing to decode.
    """
    stream.seek(0)
    head = stream.read(4)
    if not head:
        raise AudioError(f"{name} is empty: record or copy it again.")
    ends_early = head == b"OggS" and _ends_inside_a_page(stream)
    if not _may_be_mp3(head):
        recording = _open_with_libsndfile(stream, name, ends_early)
        if recording is not None:
            return recording
    return _open_with_ffmpeg(stream, name, ends_early)


def as_float32(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Integers of any width to [-1, 1) by their full scale, unsigned ones around its middle.

    Floats keep their scale.
    """
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # becomes infinite, which is reported where it matters
            return samples.astype(np.float32, copy=False)
    full_scale = 2.0 ** (8 * samples.dtype.itemsize - 1)
    middle = full_scale if samples.dtype.kind == "u" else 0.0
    return ((samples.astype(np.float64) - middle) / full_scale).astype(np.float32)


def block_frames(sample_rate: int, n_channels: int) -> int:
    """How many frames make a block: a quarter of a second, or 4 MiB where that is less."""
    return max(1, min(round(_BLOCK_S * sample_rate), _BLOCK_VALUES // n_channels))


class SoundfileRecording:
    """A recording that libsndfile reads; it starts at any frame exactly."""

    def __init__(self, sound: Any, name: str, ends_early: bool) -> None:
        self.name = name
        self.sample_rate: int = sound.samplerate
        self.n_frames = None if ends_early else _promised_frames(sound)
        self._sound = sound
        self._ends_early = ends_early

    def blocks(self, start_frame: int) -> Iterator[Frames]:
        """See `Recording`."""
        position = min(start_frame, self._sound.frames)
        n_block = block_frames(self.sample_rate, self._sound.channels)
        try:
            self._sound.seek(position)
        except soundfile.LibsndfileError as error:
            raise _damaged(self, position, "before") from error
        try:
            while len(block := self._sound.read(n_block, dtype="float32", always_2d=True)):
                position += len(block)
                yield block
        except soundfile.LibsndfileError as error:
            raise _damaged(self, position) from error
        if self._ends_early or _falls_short(self, position):
            raise _damaged(self, position)

    def close(self) -> None:
        """See `Recording`."""
        self._sound.close()


class FFmpegRecording:
    """A recording that ffmpeg reads: the first audio stream of a file.

    Reading from the middle decodes and drops what is before, some 1000 times as fast as it was
    spoken: a seek would not land on the same sample in every container.
    """

    def __init__(self, container: InputContainer, name: str, ends_early: bool) -> None:
        if not container.streams.audio:
            raise AudioError(f"{name} has no sound track: choose a file that has one.")
        self.name = name
        self._container = container
        self._stream = container.streams.audio[0]
        # Absent for an unknown codec, in spite of its type; PyAV up to 17 would crash on decoding.
        if getattr(self._stream, "codec_context", None) is None:
            raise AudioError(f"{name} is encoded in a way that ffmpeg does not know: {_MEND}.")
        self._ends_early = ends_early
        self._first_loss: int | None = None  # the frame at which decoding first failed
        self._decoder = self._decoded()
        first = next(self._decoder, None)
        if first is None:
            raise AudioError(f"{name} holds no samples that can be decoded: {_MEND}.")
        self._frames = chain([first], self._decoder)
        # Not the header's rate, which is half of the true one for some HE-AAC.
        self.sample_rate: int = first.sample_rate
        promised_s = _promised_s(container)
        self.n_frames: int | None = None
        if promised_s is not None:
            self.n_frames = round(promised_s * self.sample_rate)

    def blocks(self, start_frame: int) -> Iterator[Frames]:
        """See `Recording`."""
        position = 0
        for frame in self._frames:
            if frame.sample_rate != self.sample_rate:
                after_s = position / self.sample_rate
                raise AudioError(
                    f"{self.name} changes its sample rate after {after_s:.1f} s: {_MEND}."
                )
            n_before = max(0, start_frame - position)
            position += frame.samples
            if n_before < frame.samples:
                yield _frames_of(frame)[n_before:]
        if self._ends_early or _falls_short(self, position):
            raise _damaged(self, position if self._first_loss is None else self._first_loss)

    def close(self) -> None:
        """See `Recording`."""
        self._decoder.close()
        self._container.close()

    def _decoded(self) -> Generator[AudioFrame, None, None]:
        """Decode packet by packet, and stop where more than a trifle cannot be decoded."""
        n_frames = 0
        lost_s = 0.0
        for packet in self._packets():
            try:
                frames = packet.decode()
            except FFmpegError:
                if n_frames == 0:  # garbage in front of the first sound
                    continue
                if self._first_loss is None:
                    self._first_loss = n_frames
                lost_s += _seconds(packet.duration, packet.time_base)
                if lost_s > LENGTH_TOLERANCE_S:
                    self._ends_early = True
                    return
                continue
            n_frames += sum(frame.samples for frame in frames)
            yield from frames

    def _packets(self) -> Iterator[Packet[AudioStream]]:
        last_is_cut = False
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    last_is_cut = packet.is_corrupt
                yield packet
        except FFmpegError:
            self._ends_early = True
        # Elsewhere the flag has other causes, as a wav whose header does not know the length.
        kind = self._container.format.name
        if last_is_cut and ("mp4" in kind or kind == "caf"):
            self._ends_early = True


def _open_with_libsndfile(
    stream: io.FileIO, name: str, ends_early: bool
) -> SoundfileRecording | None:
    stream.seek(0)
    try:
        # Without a name libsndfile cannot take text for raw samples because of its suffix.
        sound = soundfile.SoundFile(stream.fileno(), closefd=False)
    except soundfile.LibsndfileError:
        return None
    # No frames: a wav whose writer was interrupted. The largest number: a flac written to a pipe.
    # ffmpeg reads both to their end.
    if sound.frames in (0, sys.maxsize):
        sound.close()
        return None
    return SoundfileRecording(sound, name, ends_early)


def _open_with_ffmpeg(stream: io.FileIO, name: str, ends_early: bool) -> FFmpegRecording:
    stream.seek(0)
    try:
        container = av.open(
            stream,
            mode="r",
            metadata_errors="replace",
            # Without protocols a playlist cannot make us read other files.
            options={"protocol_whitelist": "none"},
        )
    except FFmpegError as error:
        raise AudioError(
            f"{name} cannot be read as audio, being damaged or something else: {_MEND}."
        ) from error
    try:
        return FFmpegRecording(container, name, ends_early)
    except BaseException:
        container.close()
        raise


def _may_be_mp3(head: bytes) -> bool:
    # libsndfile reads mp3 too, but its mpg123 writes complaints about odd files to stderr.
    return head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")


def _ends_inside_a_page(stream: io.FileIO) -> bool:
    """Whether the last page of an Ogg file is cut off: both decoders would pass over it."""
    largest_page = 27 + 255 + 255 * 255
    n_bytes = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, n_bytes - largest_page))
    tail = stream.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27:
        return True
    n_segments = page[26]
    return len(page) < 27 + n_segments + sum(page[27 : 27 + n_segments])


def _promised_frames(sound: Any) -> int:
    """The length that the header promises, which may be more than the file holds.

    Of wav, aiff, au and w64 libsndfile takes what is there; only its log tells of the promise.
    """
    claim = re.search(
        r"(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", sound.extra_info
    )
    n_frames = int(sound.frames)
    if claim is None:
        return n_frames
    promised_bytes, held_bytes = int(claim[1]), int(claim[2])
    # Whoever writes to a pipe does not know the length and puts the largest number there.
    if promised_bytes >= 0x7FFF0000 or promised_bytes < held_bytes:
        return n_frames
    return n_frames * promised_bytes // held_bytes


def _promised_s(container: InputContainer) -> float | None:
    """The length in the header, or None where ffmpeg would guess it from size and bit rate."""
    stream = container.streams.audio[0]
    kind = container.format.name
    begins_s = _seconds(stream.start_time, stream.time_base)
    # An mp3 begins late only by the encoder delay in its Xing header, which has the length too.
    if "mp4" in kind or kind == "flac" or (kind == "mp3" and begins_s > 0):
        return _seconds(stream.duration, stream.time_base) or None
    if "matroska" in kind and len(container.streams) == 1 and container.duration:
        return container.duration / av.time_base - begins_s
    return None


def _seconds(ticks: int | None, time_base: Fraction | None) -> float:
    return float((ticks or 0) * (time_base or 0))


def _frames_of(frame: AudioFrame) -> Frames:
    values = as_float32(frame.to_ndarray())
    if frame.format.is_planar:  # (n_channels, n_frames), else (1, n_frames * n_channels)
        return values.T
    return values.reshape(frame.samples, -1)


def _falls_short(recording: Recording, n_frames: int) -> bool:
    if recording.n_frames is None:
        return False
    return n_frames + LENGTH_TOLERANCE_S * recording.sample_rate < recording.n_frames


def _damaged(recording: Recording, n_frames: int, where: str = "after") -> AudioError:
    at_s = n_frames / recording.sample_rate
    return AudioError(
        f"{recording.name} is damaged {where} {at_s:.1f} s: copy or download it again, "
        "or use what is before with end_s (--end)."
    )
