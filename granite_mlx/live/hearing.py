"""Live sound to the rest of the package: a source that has no end, and its assembly."""

from __future__ import annotations

import math
from collections.abc import Iterator

from granite_mlx.assembly import Assembly, Segments
from granite_mlx.audio.stream import SAMPLE_RATE
from granite_mlx.errors import AudioError
from granite_mlx.listening import Listener, Work
from granite_mlx.reading import Spoken
from granite_mlx.request import Request
from granite_mlx.transcript import TranscriptWarning


class LiveSource:
    """What was heard so far."""

    name = "the live audio"
    fraction = 0.0
    position = math.inf
    quiet: TranscriptWarning | None = None

    def __init__(self) -> None:
        self.n_samples = 0
        self.n_channels = 1
        self.damage: AudioError | None = None

    @property
    def now_s(self) -> float:
        """How long it is."""
        return self.n_samples / SAMPLE_RATE


class Settled:
    """A piece whose segments are final, and the error about it."""

    def __init__(self, spoken: Spoken, segments: Segments, error: Exception | None) -> None:
        self.spoken, self.segments, self.error = spoken, segments, error


class LiveAssembly(Assembly):
    """An assembly that tells which segments belong to which piece."""

    def __init__(self, request: Request, source: LiveSource) -> None:
        super().__init__(request, source)
        self._settled: list[Settled] = []
        self._errors: dict[int, Exception] = {}  # by identity of pieces that have not settled
        self._n_told = 0

    def is_alone(self, spoken: Spoken) -> bool:
        """Never: others may follow."""
        return False

    def miss(self, spoken: Spoken, error: Exception) -> None:
        """The piece failed; the others stand."""
        self._errors[id(spoken)] = error
        super().miss(spoken, error)

    def settled(self) -> Iterator[Settled]:
        """The pieces that have become final since the last call, in order."""
        self.ready()
        given, self._settled = self._settled, []
        yield from given

    def new_warnings(self) -> tuple[TranscriptWarning, ...]:
        """Those that were not told before."""
        new = tuple(self.warnings[self._n_told :])
        self._n_told = len(self.warnings)
        return new

    def held_text(self, until: int) -> str:
        """What was written of a piece that waits for the next one, up to a sample."""
        segments = [segment for _, held in self._held.values() for segment in held]
        words = [word for segment in segments for word in segment.words]
        if not words:
            return " ".join(segment.text for segment in segments)
        return " ".join(
            word.text for word in words if (word.start_s + word.end_s) / 2 < self._at_s(until)
        )

    def _settle(self, spoken: Spoken, segments: Segments) -> Segments:
        settled = super()._settle(spoken, segments)
        self._settled.append(Settled(spoken, settled, self._errors.pop(id(spoken), None)))
        return settled


class LiveWork(Work):
    """Live sound at work."""

    reading: LiveSource
    assembly: LiveAssembly

    def __init__(self, request: Request, listener: Listener) -> None:
        super().__init__(request, listener)
        self.reading = LiveSource()
        self.assembly = LiveAssembly(request, self.reading)
