"""How fast the recordings are done, and how long the rest will take."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from granite_mlx.cli.inputs import Recording
from granite_mlx.cli.times import clock


class Pace:
    """Knows the sizes of what is to be done, and learns from each recording that is.

    A recording's length is known when it is done. Until then its size stands for it, with the
    seconds that a byte of its kind has held so far: a byte of mp3 holds more than one of wav.
    Times are those spent on recordings, without loading the model.
    """

    def __init__(self, recordings: Iterable[Recording]) -> None:
        self.n_done = 0
        self.audio_s = 0.0
        self.wall_s = 0.0
        self._done_bytes: Counter[str] = Counter()  # by kind
        self._done_audio_s: dict[str, float] = {}
        self._left_bytes: Counter[str] = Counter()
        self._n_of_unknown_size = 0
        self._sizes: dict[Recording, int | None] = {}
        for recording in recordings:
            self._sizes.setdefault(recording, _size(recording))
            self._count(recording, 1)

    def finish(self, recording: Recording, duration_s: float, wall_s: float) -> None:
        """Count a recording, the sound in it, and the time that it took."""
        self.leave_out(recording)
        self.n_done += 1
        self.audio_s += duration_s
        self.wall_s += wall_s
        size = self._sizes[recording]
        if size:
            kind = _kind(recording)
            self._done_bytes[kind] += size
            self._done_audio_s[kind] = self._done_audio_s.get(kind, 0.0) + duration_s

    def leave_out(self, recording: Recording) -> None:
        """A recording that failed takes no more time."""
        self._count(recording, -1)

    def is_known(self, recording: Recording) -> bool:
        """Whether there is a size: there is none of stdin and pipes."""
        return self._sizes[recording] is not None

    def size(self, recording: Recording) -> int:
        """In bytes; 0 where it is not known."""
        return self._sizes[recording] or 0

    def rtfx(self) -> float | None:
        """Seconds of sound a second of work; None as long as nothing is done."""
        return self.audio_s / self.wall_s if self.n_done and self.wall_s > 0 else None

    def left_s(
        self, current: Sequence[Recording], fraction: float, elapsed_s: float
    ) -> float | None:
        """How long the rest takes at the pace so far; None where that cannot be told.

        `fraction` of the `current` recordings was done in `elapsed_s`.
        """
        if self._n_of_unknown_size or (self.audio_s and not self._done_bytes):
            return None
        begun = fraction * sum(self._length(_kind(one), self.size(one)) for one in current)
        done = begun + self.audio_s
        left = sum(self._length(kind, n_bytes) for kind, n_bytes in self._left_bytes.items())
        return (left - begun) * (self.wall_s + elapsed_s) / done if done > 0 else None

    def line(self, current: Sequence[Recording], fraction: float, elapsed_s: float) -> str:
        """The figures of the line of progress."""
        figures = [f"{fraction:.0%}"]
        left_s = self.left_s(current, fraction, elapsed_s)
        if left_s is not None:
            figures.append(f"{clock(left_s)} left")
        rtfx = self.rtfx()
        if rtfx is not None:
            figures.append(f"RTFx {rtfx:.1f}")
        return ", ".join(figures)

    def summary(self) -> str:
        """What was done, as one line."""
        files = "1 file" if self.n_done == 1 else f"{self.n_done} files"
        rtfx = self.rtfx()
        speed = "" if rtfx is None else f" (RTFx {rtfx:.1f})"
        return f"{files}, {clock(self.audio_s)} of audio in {clock(self.wall_s)}{speed}"

    def _length(self, kind: str, n_bytes: int) -> float:
        """Seconds of sound, as far as is known; before anything is done, bytes."""
        known = self._done_bytes[kind]
        if known:
            return n_bytes * self._done_audio_s[kind] / known
        total = self._done_bytes.total()
        return n_bytes * (sum(self._done_audio_s.values()) / total if total else 1.0)

    def _count(self, recording: Recording, sign: int) -> None:
        size = self._sizes[recording]
        if size is None:
            self._n_of_unknown_size += sign
        else:
            self._left_bytes[_kind(recording)] += sign * size


def _kind(recording: Recording) -> str:
    return PurePath(recording.name).suffix.lower()


def _size(recording: Recording) -> int | None:
    """In bytes; 0 of what is not there and fails at once, None of stdin and pipes."""
    if recording.is_stdin:
        return None
    try:
        status = os.stat(recording.argument)
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else None
