"""A recording of any length -> the pieces that the model is asked about, as they are read.

Runs on the caller's thread; what the splitter wants to know of the encoder is a callable.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from granite_mlx.audio.files import open_audio
from granite_mlx.audio.phase import OutOfPhase
from granite_mlx.audio.stream import SAMPLE_RATE, AudioStream
from granite_mlx.decoding.prompts import Task
from granite_mlx.errors import AudioError
from granite_mlx.ranges import Stretch
from granite_mlx.request import Progress, Request, silence
from granite_mlx.segments.splitter import Hear, Piece, Splitter
from granite_mlx.segments.tones import is_tone
from granite_mlx.transcript import TranscriptWarning

REPORT_SAMPLES = 10 * SAMPLE_RATE
"""Where nothing is said, progress is told so often."""


@dataclass(frozen=True)
class Spoken:
    """A piece of one channel, and what is asked about it."""

    piece: Piece
    channel: int
    task: Task


class Reading:
    """One recording, read once."""

    def __init__(self, request: Request, hear: Hear, progress: Progress) -> None:
        self.n_samples = 0  # read so far
        self.n_channels = 0  # that are listened to
        self.damage: AudioError | None = None
        self._request, self._hear, self._progress = request, hear, progress
        self._channels: list[_Channel] = []
        self._stream: AudioStream | None = None
        self._n_pieces = 0
        self._loudest: np.ndarray = np.zeros(1, np.float32)
        self._is_done = False

    def pieces(self) -> Iterator[Spoken]:
        """The pieces in order, those of several channels by turns.

        Damage behind a complete piece ends the recording there and is kept as `damage`.

        Raises:
            AudioError: the recording cannot be read, at least not so far.
            TypeError, ValueError: as `open_audio`.
        """
        request = self._request
        with open_audio(
            request.audio,
            request.part,
            sample_rate=request.sample_rate,
            separate=request.channels == "separate",
        ) as self._stream:
            try:
                for block in self._stream.blocks():
                    yield from self._read(block)
            except AudioError as error:
                if not self._n_pieces:
                    raise
                self.damage = error
            for channel in self._channels:
                yield from self._said(channel.finish())
        self._is_done = True
        self._channels = []  # and what they had read ahead

    @property
    def name(self) -> str:
        """What messages call the recording."""
        return "the recording" if self._stream is None else self._stream.name

    @property
    def fraction(self) -> float:
        """Of the recording, what was read: 0 to 1."""
        if self._is_done:
            return 1.0
        return 0.0 if self._stream is None else self._stream.fraction

    @property
    def position(self) -> float:
        """No later piece begins before this sample."""
        if self._is_done:
            return math.inf
        return min((channel.position for channel in self._channels), default=0)

    @property
    def out_of_phase(self) -> TranscriptWarning | None:
        """Where little is left of the channels once they are mixed."""
        found = None if self._stream is None else self._stream.out_of_phase
        return None if found is None else cancelling(found)

    @property
    def quiet(self) -> TranscriptWarning | None:
        """Why nothing could be heard, where that is so."""
        n_shown = min(self.n_samples, SAMPLE_RATE)
        found = silence(np.resize(self._loudest, n_shown))
        if found is None or found.code != "silence" or self.out_of_phase is None:
            return found
        message = "the mix of the channels is silent, since they cancel each other out."
        return replace(found, message=message)

    def _read(self, block: np.ndarray) -> Iterator[Spoken]:
        """The pieces that one block (n, n_channels) completes."""
        request = self._request
        request.cancel.check()
        if not self._channels:
            self.n_channels = block.shape[1]
            self._channels = [_Channel(n, request, self._hear) for n in range(self.n_channels)]
        before, self.n_samples = self.n_samples, self.n_samples + len(block)
        self._loudest = np.maximum(self._loudest, np.abs(block).max(initial=0))
        for n, channel in enumerate(self._channels):
            yield from self._said(channel.push(block[:, n]))
        if before // REPORT_SAMPLES != self.n_samples // REPORT_SAMPLES and not self._n_pieces:
            # What is read ahead of a piece is not done.
            fraction = self.fraction * self.position / self.n_samples
            if fraction > self._progress.fraction:
                self._progress.report(fraction)

    def _said(self, pieces: Iterator[Spoken]) -> Iterator[Spoken]:
        for spoken in pieces:
            if may_hold_words(spoken.piece):
                self._n_pieces += 1
                yield spoken


def may_hold_words(piece: Piece) -> bool:
    """Whether a piece is worth asking about: neither silence nor a beep."""
    return silence(piece.samples) is None and (piece.overlaps or not is_tone(piece.samples))


def cancelling(found: OutOfPhase) -> TranscriptWarning:
    """What is told of channels that cancel each other out; its times are the first stretch's."""
    span = f"from {found.start_s:.1f} s to {found.end_s:.1f} s"
    if found.n_stretches > 1:
        span = f"for {found.total_s:.1f} s in {found.n_stretches} stretches, the first {span}"
    return TranscriptWarning(
        "out_of_phase",
        f"the channels cancel each other out when they are mixed, {span}: listen to them with "
        "channels='separate' (--channels separate), which gives the text once for each channel.",
        found.start_s,
        found.end_s,
    )


class _Channel:
    """One channel on its way through the stretches in which one thing is asked."""

    def __init__(self, number: int, request: Request, hear: Hear) -> None:
        self._number, self._request, self._hear = number, request, hear
        start_s = request.part.start_s
        ends_s = [*(one.start_s for one in request.stretches[1:]), math.inf]
        self._waiting = [
            (one, _n_samples(end_s - start_s))
            for one, end_s in zip(request.stretches, ends_s, strict=True)
            if end_s > start_s
        ]
        self._n_pushed = 0
        self._stretch, self._end = self._waiting.pop(0)
        self._splitter = self._begin(self._stretch)

    @property
    def position(self) -> int:
        return self._splitter.position

    def push(self, samples: np.ndarray) -> Iterator[Spoken]:
        while len(samples):
            n_inside = int(min(len(samples), self._end - self._n_pushed))
            inside, samples = samples[:n_inside], samples[n_inside:]
            self._n_pushed += n_inside
            yield from self._spoken(self._splitter.push(inside))
            if self._n_pushed == self._end:
                yield from self.finish()
                self._stretch, self._end = self._waiting.pop(0)
                self._splitter = self._begin(self._stretch)

    def finish(self) -> Iterator[Spoken]:
        yield from self._spoken(self._splitter.finish())

    def _begin(self, stretch: Stretch) -> Splitter:
        # A translation cannot be laid along what the character head hears.
        return Splitter(
            self._request.limits, self._hear, start=self._n_pushed, overlaps=stretch.task.to is None
        )

    def _spoken(self, pieces: Iterator[Piece]) -> Iterator[Spoken]:
        for piece in pieces:
            yield Spoken(piece, self._number, self._stretch.task)


def _n_samples(time_s: float) -> float:
    return time_s if math.isinf(time_s) else round(time_s * SAMPLE_RATE)
