"""Where `listen` gets its sound: a microphone, or a recording that is played.

`sounddevice` is imported only here, and only when a microphone is asked for.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterator
from typing import Any, BinaryIO, Protocol, TypeAlias

import numpy as np

from granite_mlx.audio.files import open_audio
from granite_mlx.audio.stream import SAMPLE_RATE, AudioStream, Part
from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.screen import shown
from granite_mlx.errors import AudioError

Chunk: TypeAlias = Any  # (n,) float32, or the bytes of 16-bit PCM

CHUNK_S = 0.1
MOST_WAITING = 6000
"""Chunks of a microphone that wait for a machine that cannot keep up: ten minutes."""

DEAD_S = 5.0
"""Nothing but zeros for so long, at the beginning: no microphone is so quiet."""

NO_SOUNDDEVICE = (
    "the microphone needs another package: pip install 'granite-mlx[mic]' "
    "(--from-file plays a recording without it)."
)
NO_PORTAUDIO = (
    "the microphone needs PortAudio, which is missing: install it (Debian and Ubuntu: "
    "apt install libportaudio2; macOS brings it with sounddevice)."
)


class Sound(Protocol):
    """Chunks of one channel at `rate` Hz. `trouble` is what there is to say of it afterwards."""

    name: str
    rate: int
    trouble: str | None

    def chunks(self) -> Iterator[Chunk | None]:
        """The chunks as they come, None now and then while none does. AudioError where it fails."""
        ...

    def close(self) -> None: ...


class Player:
    """A recording that is played, `speed` times as fast as it was recorded."""

    def __init__(self, audio: str | BinaryIO, name: str, speed: float) -> None:
        self.name, self.rate = name, SAMPLE_RATE
        self.trouble: str | None = None
        self._speed = speed
        self._closing = contextlib.ExitStack()
        self._stream: AudioStream = self._closing.enter_context(open_audio(audio, Part()))

    def chunks(self) -> Iterator[Chunk | None]:
        """Each is there when its last sample would have been heard."""
        begun_s, n_played = time.monotonic(), 0
        size = round(CHUNK_S * self.rate)
        for block in self._stream.blocks():
            for start in range(0, len(block), size):
                chunk = block[start : start + size, 0]
                n_played += len(chunk)
                due_s = begun_s + n_played / self.rate / self._speed
                while (left_s := due_s - time.monotonic()) > 0:
                    time.sleep(min(left_s, CHUNK_S))
                yield chunk

    def close(self) -> None:
        """Close the file."""
        self._closing.close()


class Microphone:
    """The system's microphone, or the one that `device` names, at its own rate."""

    def __init__(self, device: str | None) -> None:
        self.name = "the microphone"
        self.trouble: str | None = None
        self._sounddevice = _sounddevice()
        self._chunks: queue.Queue[bytes] = queue.Queue(MOST_WAITING)
        self._n_lost = 0
        chosen = int(device) if device is not None and device.isdecimal() else device
        try:
            found = self._sounddevice.query_devices(chosen, "input")
            self.rate = int(found["default_samplerate"])
            self._stream = self._sounddevice.RawInputStream(
                samplerate=self.rate,
                blocksize=round(CHUNK_S * self.rate),
                device=chosen,
                channels=1,
                dtype="int16",
                callback=self._take,
            )
        except (self._sounddevice.PortAudioError, ValueError) as error:
            raise UsageError(f"{_named(device)} cannot be opened: {_said(error)}") from error

    def chunks(self) -> Iterator[Chunk | None]:
        """Without end, until the microphone is gone."""
        n_zero = 0
        try:
            with self._stream:
                while self._stream.active:
                    try:
                        chunk = self._chunks.get(timeout=CHUNK_S)
                    except queue.Empty:
                        yield None
                        continue
                    n_zero = self._n_silent(n_zero, chunk)
                    yield chunk
        except self._sounddevice.PortAudioError as error:
            raise AudioError(f"the microphone has failed: {_said(error)}") from error
        raise AudioError("the microphone has gone.")

    def close(self) -> None:
        """Stop listening."""
        self._stream.close()

    def _take(self, data: Any, n_frames: int, at: Any, status: Any) -> None:
        """PortAudio's thread: keep a chunk, or know that one is lost."""
        try:
            self._chunks.put_nowait(bytes(data))
        except queue.Full:
            self._n_lost += 1
        if self._n_lost or status.input_overflow:
            self.trouble = "some sound was lost, since this machine could not keep up."

    def _n_silent(self, n_before: int, chunk: bytes) -> int:
        """Zeros so far; less than none once there was a sound."""
        if n_before < 0 or np.frombuffer(chunk, np.int16).any():
            return -1
        n_zero = n_before + len(chunk) // 2
        if n_zero > DEAD_S * self.rate:
            self.trouble = (
                "nothing but silence came; allow the terminal to use the microphone "
                "(macOS: System Settings, Privacy & Security, Microphone)."
            )
        return n_zero


def microphones() -> Iterator[str]:
    """A line for each."""
    sounddevice = _sounddevice()
    default = sounddevice.default.device[0]
    for number, device in enumerate(sounddevice.query_devices()):
        if device["max_input_channels"] > 0:
            mark = " (default)" if number == default else ""
            rate = f"{device['default_samplerate']:.0f} Hz"
            yield f"{number}: {shown(device['name'])}, {rate}{mark}"


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise UsageError(NO_SOUNDDEVICE) from error
    except OSError as error:  # it found no library
        raise UsageError(NO_PORTAUDIO) from error
    return sounddevice


def _named(device: str | None) -> str:
    return "the microphone" if device is None else f"the microphone {shown(device)}"


def _said(error: Exception) -> str:
    return f"{shown(str(error)).rstrip('.')} (--list-devices shows those that there are)."
